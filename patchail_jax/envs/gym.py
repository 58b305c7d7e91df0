"""Gymnasium's environments: ``--config.env.factory=patchail_jax.envs.gym:make --config.env.task=Pendulum-v1``."""

from typing import Any

import dm_env
import numpy as np
from dm_env import specs

from patchail_jax.errors import UserError, one_line


def make(*, task: str, image_size: int) -> dm_env.Environment:
    """Gymnasium's environment ``task`` with its ``rgb_array`` pictures, for ``env.factory``.

    ``UserError`` without Gymnasium, for a name that it does not know, and for actions that are not continuous.
    """
    del image_size  # its pictures have their own size
    try:
        import gymnasium
    except ImportError as error:
        raise UserError("Gymnasium is not installed: pip install '.[gymnasium]'") from error
    try:
        environment = gymnasium.make(task, render_mode="rgb_array")
    except (gymnasium.error.Error, ImportError) as error:
        raise UserError(f"Gymnasium cannot make {task!r}: {one_line(error)}") from error
    if not isinstance(environment.action_space, gymnasium.spaces.Box):
        kind = type(environment.action_space).__name__
        environment.close()
        raise UserError(f"{task} has actions of the kind {kind}: choose a task whose actions are continuous (Box)")
    return _GymnasiumEnvironment(environment)


class _GymnasiumEnvironment(dm_env.Environment):
    """Terminated is discount 0, truncated is discount 1."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._seed: int | None = None
        self._shape: tuple[int, ...] = ()  # of its pictures, which nothing says before one is drawn

    def seed(self, seed: int) -> None:
        """What the next episode starts from."""
        self._seed = seed

    def reset(self) -> dm_env.TimeStep:
        self._environment.reset(seed=self._seed)
        return dm_env.restart(self._picture())

    def step(self, action: np.ndarray) -> dm_env.TimeStep:
        space = self._environment.action_space
        shaped = np.clip(action.astype(space.dtype).reshape(space.shape), space.low, space.high)
        _, reward, terminated, truncated, _ = self._environment.step(shaped)
        picture = self._picture()
        if terminated:
            return dm_env.termination(float(reward), picture)
        if truncated:
            return dm_env.truncation(float(reward), picture)
        return dm_env.transition(float(reward), picture)

    def _picture(self) -> np.ndarray:
        from gymnasium.error import DependencyNotInstalled

        try:
            picture: np.ndarray = self._environment.render()
        except DependencyNotInstalled as error:
            raise UserError(f"Gymnasium cannot draw: {one_line(error)}") from error
        self._shape = picture.shape
        return picture

    def observation_spec(self) -> specs.Array:
        if not self._shape:
            self.reset()
        return specs.Array(self._shape, np.uint8, name="pixels")

    def action_spec(self) -> specs.BoundedArray:
        space = self._environment.action_space
        return specs.BoundedArray((space.low.size,), np.float64, space.low.ravel(), space.high.ravel(), name="action")

    def close(self) -> None:
        self._environment.close()
