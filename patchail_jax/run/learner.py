"""The learner of a run: its state on the devices, its newest policy, and its updates."""

from typing import Any

import jax
import numpy as np

from patchail_jax.acting.label import label
from patchail_jax.devices.data_parallel import Devices, NamedScalars
from patchail_jax.devices.profiler import Profiler
from patchail_jax.errors import NotFiniteValues
from patchail_jax.methods import Method
from patchail_jax.run.experience import Drawn
from patchail_jax.run.stopwatch import Stopwatch
from patchail_jax.types import Episode


class Learner:
    """Holds the only reference to the state, which every update consumes.

    ``demonstrations``, on the devices, are for methods that label whole episodes, of ``longest`` steps at most.
    ``seed`` and ``process`` key the exploration noise.
    """

    def __init__(
        self,
        method: Method,
        devices: Devices,
        state: Any,
        *,
        demonstrations: Any,
        longest: int,
        seed: int,
        process: int,
        stopwatch: Stopwatch,
        profiler: Profiler,
    ) -> None:
        self.state = state
        self._method, self._devices = method, devices
        self._demonstrations, self._longest = demonstrations, longest
        self._process, self._stopwatch, self._profiler = process, stopwatch, profiler
        self._acting_root = devices.acting_root(seed)
        self._policy: Any = None  # published when it is asked for

    @property
    def policy(self) -> Any:
        """The newest acting parameters, a copy that the next update leaves alone."""
        if self._policy is None:
            self._policy = self._devices.publish(self.state)
        return self._policy

    def load(self, state: Any) -> None:
        """Resumes with ``state``, numpy arrays of a checkpoint."""
        self.state, self._policy = self._devices.place(state), None

    def explore(self, observations: np.ndarray, agent_step: int) -> jax.Array:
        """Noisy actions ``[num_envs,A]`` for ``observations [num_envs,H,W,3S]``: dispatched, not waited for."""
        actions: jax.Array = self._devices.explore(
            self.policy, observations, self._acting_root, agent_step + self._process, agent_step
        )
        self._stopwatch.lap("acting")
        return actions

    def update(self, drawn: Drawn) -> NamedScalars:
        """One call of updates, dispatched; returns what they measure, still on the devices."""
        return self._advance(*self._devices.update(self.state, *drawn))

    def pretrain(self, drawn: Drawn) -> NamedScalars:
        """As ``update``, on the demonstrations alone."""
        return self._advance(*self._devices.pretrain(self.state, *drawn))

    def label(self, episode: Episode) -> Episode:
        """The finished episode with the rewards that it goes into replay with (``acting.label``).

        ``NotFiniteValues`` for rewards that are no numbers.
        """
        return label(episode, uses_task_reward=self._method.needs.task_reward, score=self._score)

    def score(self, frames: np.ndarray) -> np.ndarray:
        """Rewards ``[T]`` of an episode's frames ``[T+1,H,W,3]`` by the discriminator as it is now."""
        rewards = self._score(frames)
        assert rewards is not None  # refusals.refuse
        return rewards

    def _score(self, frames: np.ndarray) -> np.ndarray | None:
        self.state, rewards = self._devices.label(self.state, frames, self._demonstrations, longest=self._longest)
        if rewards is not None and not np.isfinite(rewards).all():
            raise NotFiniteValues("the method gives rewards that are not finite")
        return rewards

    def _advance(self, state: Any, scalars: NamedScalars) -> NamedScalars:
        self.state, self._policy = state, None
        self._profiler.tick(state)
        self._stopwatch.lap("learner")
        return scalars
