"""Chooses the rewards that a finished episode has in replay."""

from collections.abc import Callable

import numpy as np

from patchail_jax.types import Episode


def label(episode: Episode, *, uses_task_reward: bool, score: Callable[[np.ndarray], np.ndarray | None]) -> Episode:
    """The task's rewards, the method's ``score(frames [T+1,H,W,3]) -> [T]``, or zeros where it gives None.

    Zeros stand for rewards that are computed at each update: the task's never reach an imitator's replay.
    """
    if uses_task_reward:
        return episode
    rewards = score(episode.frames)
    return episode._replace(rewards=np.zeros_like(episode.rewards) if rewards is None else rewards)
