"""The package as a library: train a config, use what a run has learned, or make updates in a loop of your own.

``import patchail_jax`` has these names: ``train``, ``load_run``, ``make_update``. All of them raise ``UserError``, one
line that says what to do, for bad input.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from patchail_jax.devices.data_parallel import Devices
from patchail_jax.envs.rendering import choose_backend
from patchail_jax.errors import UserError
from patchail_jax.maps.explainer import Explainer
from patchail_jax.programs.train import train as _train
from patchail_jax.run.design import action_size_of, make_method, make_specs, run_folder_of
from patchail_jax.run.refusals import refuse
from patchail_jax.run.reopened import Trained, open_trained
from patchail_jax.storage.remote import reading_copy
from patchail_jax.types import AgentBatch, Batch, ExpertBatch
from patchail_jax.updates.prepare_batch import stack_at


def train(config: ConfigDict, *, profile: bool = False) -> str:
    """Trains the run of ``config`` to its end, or resumes it; returns its folder.

    ``config`` is one of ``configs``, for example ``configs.cheetah.get_config("patchail_w")``. ``profile`` adds a trace
    of a few updates. ``KeyboardInterrupt`` after a stop that was saved: the same call goes on.
    """
    _train(config, profile=profile)
    return run_folder_of(config)


def load_run(path: str | Path, *, checkpoint: int | None = None) -> "LoadedRun":
    """What the run in the folder ``path`` (or ``gs://``) has learned, at its newest checkpoint unless one is named."""
    choose_backend()
    return LoadedRun(open_trained(reading_copy(str(path)), number=checkpoint))


class LoadedRun:
    """A trained policy and, of a method that has one, its discriminator.

    Frames are RGB ``uint8`` of the run's size, in the order of time, one agent step apart.
    """

    def __init__(self, trained: Trained) -> None:
        self._trained = trained

    @functools.cached_property
    def _policy(self) -> Any:
        return self._trained.devices.publish(self._trained.state)

    @functools.cached_property
    def _explainer(self) -> Explainer:
        """Made once: each compiles its own functions. ``UserError`` where the method has no discriminator."""
        return self._trained.explainer()

    @property
    def config(self) -> ConfigDict:
        """The run's config."""
        return self._trained.config

    @property
    def frame(self) -> int:
        """Frames the run had played at its checkpoint."""
        return self._trained.frame

    def frames(self, source: str) -> np.ndarray:
        """An episode ``[T+1,H,W,3]``: "expert", "agent", "random", or a video or npz file, cut and resized to fit."""
        from patchail_jax.programs.footage import footage

        return footage(source, self._trained)

    def act(self, frames: np.ndarray) -> np.ndarray:
        """The mean action ``[A]`` in [-1, 1] after the frames ``[t,H,W,3]`` of an episode, of which the last are read.

        ``[B,t,H,W,3]`` gives ``[B,A]``. Before the first frame the policy sees it repeated, as in training.
        """
        frames = self._checked(frames, (4, 5))
        batch = frames if frames.ndim == 5 else frames[None]
        stack = self._trained.specs.frame_stack
        batch = np.concatenate([batch[:, :1].repeat(stack - 1, axis=1), batch], axis=1)[:, -stack:]
        actions = self._trained.devices.exploit(self._policy, np.asarray(stack_at(batch, 0, stack)))
        return actions if frames.ndim == 5 else actions[0]

    def reward(self, frames: np.ndarray) -> np.ndarray:
        """The reward ``[T]`` of each step of ``frames [T+1,H,W,3]``: Eq. 5, without Eq. 9 and 10."""
        return self._explainer.explain(self._trained.state, self._checked(frames), []).rewards

    def patch_rewards(self, frames: np.ndarray) -> np.ndarray:
        """The reward of each patch, ``[T,P,P]``, of ``frames [T+1,H,W,3]`` (h of Eq. 5)."""
        _ = self._explainer  # refuses a method without a discriminator
        return self._trained.devices.patch_rewards(self._trained.state, self._checked(frames))

    def explain(self, frames: np.ndarray, kind: str = "patch_rewards") -> np.ndarray:
        """A map over the pixels, ``[T,H,W]``: ``patch_rewards``, ``attention``, ``weighted`` or ``gradcam``."""
        return self._explainer.explain(self._trained.state, self._checked(frames), [kind]).maps[kind]

    def _checked(self, frames: np.ndarray, axes: Sequence[int] = (4,)) -> np.ndarray:
        frames, shape = np.asarray(frames), self._trained.specs.frame_shape
        count = frames.shape[-4] if frames.ndim >= 4 else 0
        if frames.ndim not in axes or frames.shape[-3:] != shape or frames.dtype != np.uint8 or count < 1:
            forms = " or ".join(f"[{'B,' * (ndim - 4)}T,{','.join(map(str, shape))}]" for ndim in axes)
            raise UserError(f"frames are {frames.dtype} {list(frames.shape)}; they must be uint8 {forms}")
        if axes == (4,) and count < 2:
            raise UserError("a reward needs two frames: it is of the step between them")
        return frames


def make_update(config: ConfigDict, *, action_size: int | None = None) -> "Update":
    """The method of ``config`` as an update on this machine's devices, for a loop of your own.

    ``action_size`` is asked of the config's task where it is not given.
    """
    return Update(config, action_size_of(config) if action_size is None else action_size)


class Update:
    """``state = update.init(seed)``, then ``state, metrics = update(state, agent, expert)`` again and again."""

    def __init__(self, config: ConfigDict, action_size: int) -> None:
        self.specs = make_specs(config, action_size)
        self._method = make_method(config, self.specs)
        self._devices = Devices(self._method, self.specs, count=config.devices, mapping=config.device_mapping)
        refuse(config, self._method, self.specs, devices=self._devices.count, processes=1)

    def init(self, seed: int) -> Any:
        """The first state, a pytree of arrays."""
        return self._devices.init(seed)

    def __call__(
        self, state: Any, agent: AgentBatch, expert: ExpertBatch, demonstration: np.ndarray | None = None
    ) -> tuple[Any, dict[str, jax.Array]]:
        """The next state and the update's metrics; the given state is consumed.

        ``agent`` are n-step windows of your replay and ``expert`` as many pairs as the config says
        (``replay.expert_batch_size``); ``patchail_jax.types`` has their axes. ``demonstration [M,S+1,H,W,3]`` are all
        pairs of one demonstration, for methods that read one.
        """
        windows, pairs, needs = len(agent.actions), len(expert.frames), self._method.needs
        length = self.specs.frame_stack + needs.expert_steps
        self._check("agent.frames", agent.frames, windows, self.specs.frame_stack + self.specs.n_step)
        self._check("expert.frames", expert.frames, pairs, length)
        if demonstration is None:
            demonstration = np.zeros((0, *np.shape(expert.frames)[1:]), np.uint8)
        if needs.demonstration:
            self._check("demonstration", demonstration, max(len(demonstration), 1), length)
        count = self._devices.count
        if windows % count or pairs % count:
            raise UserError(f"{windows} windows and {pairs} pairs cannot be divided evenly among {count} devices")

        def shared(leaf: Any) -> np.ndarray:
            leaf = np.asarray(leaf)
            return leaf.reshape(count, 1, len(leaf) // count, *leaf.shape[1:])

        def copied(leaf: Any) -> np.ndarray:
            return np.broadcast_to(leaf, (count, 1, *np.shape(leaf)))

        index = np.arange(max(windows, pairs), dtype=np.int32)
        batch = Batch(
            AgentBatch(*map(shared, agent)),
            ExpertBatch(*map(shared, expert)),
            copied(demonstration),
            shared(index[:windows]),
            shared(index[:pairs]),
        )
        state, metrics = self._devices.update(state, self._devices.spread(batch))
        return state, dict(zip(metrics.names, metrics.values, strict=True))

    def act(self, state: Any, observations: np.ndarray) -> np.ndarray:
        """Mean actions ``[B,A]`` for stacks of frames ``[B,H,W,3S] uint8``, oldest first."""
        return self._devices.exploit(self._devices.publish(state), observations)

    def reward(self, state: Any, frames: np.ndarray) -> np.ndarray:
        """Rewards ``[T]`` of an episode's ``frames [T+1,H,W,3]``, as the method would store them.

        ``UserError`` for a method whose replay keeps no rewards of its own.
        """
        if self._method.label is None or self._method.needs.whole_episodes:
            raise UserError(
                "this method stores no rewards of its own; for a discriminator's set "
                "config.reward.moment=at_episode_end"
            )
        _, rewards = self._devices.label(state, frames)
        assert rewards is not None
        return rewards

    def _check(self, name: str, frames: Any, count: int, length: int) -> None:
        wanted = (count, length, *self.specs.frame_shape)
        if np.shape(frames) != wanted:
            raise UserError(f"{name} is {list(np.shape(frames))}; the config asks for {list(wanted)}")
