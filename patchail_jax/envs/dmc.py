"""A DeepMind Control task that shows its frames."""

from typing import Any

import numpy as np

from patchail_jax.envs.outcome import Outcome
from patchail_jax.envs.rendering import Renderer, apply_quality, renderer_name
from patchail_jax.envs.tasks import facts, suite
from patchail_jax.errors import UserError


def load(task: str, *, quality: str) -> Any:
    """The suite's environment for ``<domain>_<task>``, without a time limit, prepared for rendering at ``quality``."""
    names = facts(task)
    environment = suite().load(names.domain, names.task, task_kwargs={"time_limit": float("inf")})
    apply_quality(environment.physics, quality)
    return environment


def _bounds(actions: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the actions -1 and 1 are for the task, both ``[A] float64``."""
    import mujoco

    # An actuator without limits (lqr) takes the action as it is: dm_control reports the largest number MuJoCo knows.
    limited = actions.maximum < mujoco.mjMAXVAL
    return np.where(limited, actions.minimum, -1.0), np.where(limited, actions.maximum, 1.0)


def refuse_repeat(action_repeat: int, episode_frames: int) -> None:
    """``UserError`` where no step fits into an episode."""
    if action_repeat < 1 or episode_frames < action_repeat:
        raise UserError(
            f"action repeat {action_repeat} does not fit in an episode of {episode_frames} frames: "
            "lower config.env.action_repeat or raise config.env.episode_frames"
        )


class FrameEnvironment:
    """One environment: seeds and actions in, frames, rewards and discounts out.

    An episode is a function of its seed and its actions alone, whatever was played before. ``action_repeat`` and
    ``episode_frames`` in frames, ``image_size`` in pixels; ``camera_id`` None is the task's own; ``quality`` as in
    ``envs.rendering``. ``UserError`` for a task, size, camera or quality that does not exist.
    """

    renderer: str | None = None
    """What OpenGL calls itself where the frames are drawn; None where this program does not draw them."""

    def __init__(
        self,
        *,
        task: str,
        action_repeat: int,
        image_size: int,
        camera_id: int | None = None,
        quality: str = "full",
        episode_frames: int = 1000,
    ) -> None:
        self._load(task, quality=quality, action_repeat=action_repeat, episode_frames=episode_frames)
        camera_id = facts(task).camera_id if camera_id is None else camera_id
        self._render = Renderer(self._environment.physics, image_size=image_size, camera_id=camera_id)
        self.renderer = renderer_name(self._environment.physics)

    def _load(self, task: str, *, quality: str, action_repeat: int, episode_frames: int) -> None:
        refuse_repeat(action_repeat, episode_frames)
        self._environment = load(task, quality=quality)
        self._repeat, self._limit, self._frames = action_repeat, episode_frames, 0
        self._low, self._high = _bounds(self._environment.action_spec())
        self.action_size = self._low.size

    def reset(self, seed: int) -> Outcome:
        """Starts the episode of ``seed`` (32 bits)."""
        self._start(seed)
        return Outcome(self._render(), 0.0, 1.0, False)

    def step(self, action: np.ndarray) -> Outcome:
        """Plays ``action [A]`` in [-1, 1] for ``action_repeat`` frames; rewards are summed.

        The last step of an episode has discount 1 when time is up and 0 when the task terminated.
        """
        reward, discount, last = self._play(action)
        return Outcome(self._render(), reward, discount, last)

    def restore(self, seed: int, actions: np.ndarray) -> None:
        """Plays the episode of ``seed`` up to after ``actions [t,A]`` without rendering; later frames are bit-equal."""
        self._start(seed)
        for action in actions:
            self._play(action)

    def recorded(self) -> np.ndarray:
        """What a recording keeps of the newest frame: ``physics.get_state() [X] float64``."""
        state: np.ndarray = self._environment.physics.get_state()
        return state

    def close(self) -> None:
        """Frees the renderer."""
        self._environment.physics.free()

    def _start(self, seed: int) -> None:
        # The suite's tasks draw from this generator and from nothing else.
        self._environment.task.random.seed(seed)
        self._environment.reset()
        self._frames = 0

    def _play(self, action: np.ndarray) -> tuple[float, float, bool]:
        scaled = self._low + (np.asarray(action, np.float64) + 1.0) / 2.0 * (self._high - self._low)
        scaled = np.clip(scaled, self._low, self._high)  # rounding may lead out of the bounds
        reward, discount = 0.0, 1.0
        for _ in range(self._repeat):
            step = self._environment.step(scaled)
            self._frames += 1
            reward += step.reward
            discount *= step.discount
            if step.last() or self._frames >= self._limit:
                return reward, discount, True
        return reward, discount, False
