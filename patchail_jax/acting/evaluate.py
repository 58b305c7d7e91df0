"""Episodes with the mean action, scored by the task's own reward."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from patchail_jax.acting.collect import Collector, Pool
from patchail_jax.types import Episode, Specs


class Evaluation(NamedTuple):
    """``returns [episodes]`` in the order of the episodes' numbers, and the first episode itself."""

    returns: np.ndarray
    episode: Episode


def evaluate(
    pool: Pool, act: Callable[[np.ndarray], np.ndarray], *, episodes: int, specs: Specs, root: tuple[int, ...]
) -> Evaluation:
    """Runs the episodes ``0 .. episodes-1`` of ``root`` with ``act(observations [B,H,W,3S]) -> actions [B,A]``.

    The same ``root`` gives the same starts each time, so evaluations of one run differ by the policy alone.
    """
    collector = Collector(pool, frame_stack=specs.frame_stack, action_size=specs.action_size, root=root)
    collector.start()
    done: dict[int, Episode] = {}
    # Episodes beyond the asked number fill environments that would idle; they are dropped, so that a short episode
    # is no likelier to be counted than a long one.
    while not all(number in done for number in range(episodes)):
        collector.send(act(collector.observations()))
        done.update((number, episode) for number, episode in collector.receive() if number < episodes)
    returns = [float(done[number].rewards.sum()) for number in range(episodes)]
    return Evaluation(np.asarray(returns), done[0])
