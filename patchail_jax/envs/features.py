"""A DeepMind Control task that shows its physics' features in the place of frames."""

import numpy as np

from patchail_jax.envs.dmc import FrameEnvironment, load


class FeatureEnvironment(FrameEnvironment):
    """As ``FrameEnvironment``, but each "frame" is the task's own observation as one vector ``[F] float32``."""

    def __init__(self, *, task: str, action_repeat: int, episode_frames: int) -> None:
        self._load(task, quality="full", action_repeat=action_repeat, episode_frames=episode_frames)
        self._render = self._features  # type: ignore[assignment]

    def _features(self) -> np.ndarray:
        observation = self._environment.task.get_observation(self._environment.physics)
        return np.concatenate([np.ravel(part) for part in observation.values()]).astype(np.float32)


def feature_count(task: str) -> int:
    """F, the length of the task's observation as one vector."""
    with load(task, quality="full") as environment:
        return sum(int(np.prod(part.shape)) for part in environment.observation_spec().values())
