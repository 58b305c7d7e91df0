"""The package as a library: train a config, use what a run has learned, or make updates in a loop of your own.

``import patchail_jax`` has these names: ``train``, ``load_run``, ``make_update``. All of them raise ``UserError``, one
line that says what to do, for bad input.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from patchail_jax.envs.worker import end_where_imported_again
from patchail_jax.errors import UserError
from patchail_jax.maps.explainer import Explainer
from patchail_jax.programs.train import train as _train
from patchail_jax.run.config import refuse_numbers
from patchail_jax.run.design import action_size_of, run_folder_of
from patchail_jax.run.given import array, field_of, fitting, require_state, whole_number
from patchail_jax.run.made import made
from patchail_jax.run.reopened import Trained, open_trained
from patchail_jax.run.sizes import expert_batch_size
from patchail_jax.storage.remote import reading_copy
from patchail_jax.types import AgentBatch, Batch, ExpertBatch
from patchail_jax.updates.prepare_batch import stack_at

_MOST_ACTIONS, _MOST_SEED = 4096, 2**32 - 1


def train(config: ConfigDict, *, profile: bool = False) -> str:
    """Trains the run of ``config`` to its end, or resumes it; returns its folder.

    ``config`` is one of ``configs``, for example ``configs.cheetah.get_config("patchail_w")``. ``profile`` adds a trace
    of a few updates. ``KeyboardInterrupt`` after a stop that was saved: the same call goes on.

    A script calls it under ``if __name__ == "__main__":``: environments are processes, and each imports the script.
    Elsewhere set ``config.env.workers = "inline"``.
    """
    end_where_imported_again()
    _require_config(config)
    try:
        _train(config, profile=profile)
    except UserError as error:
        raise error.with_traceback(None)  # noqa: B904 - its own cause stays; its line says all, not the way to it
    return run_folder_of(config)


def load_run(path: str | os.PathLike[str], *, checkpoint: int | None = None) -> "LoadedRun":
    """What the run in the folder ``path`` (or ``gs://``) has learned, at its newest checkpoint unless one is named."""
    if not isinstance(path, str | os.PathLike) or not (folder := os.fsdecode(path)):
        raise UserError(f"path is {path!r}; name the folder of a run")
    if checkpoint is not None:
        checkpoint = whole_number("checkpoint", checkpoint)
    return LoadedRun(open_trained(reading_copy(folder), number=checkpoint))


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

    def frames(self, source: str | os.PathLike[str]) -> np.ndarray:
        """An episode ``[T+1,H,W,3]``: "expert", "agent", "random", or a video or npz file, cut and resized to fit."""
        from patchail_jax.programs.footage import footage

        self._refuse_features()
        return footage(source, self._trained)

    def act(self, frames: np.ndarray) -> np.ndarray:
        """The mean action ``[A]`` in [-1, 1], given the episode's frames so far, ``[t,H,W,3]``.

        Only the last ``config.env.frame_stack`` are read. ``[B,t,H,W,3]`` gives ``[B,A]``. Before the first frame the
        policy sees it repeated, as in training.
        """
        frames = self._checked(frames, (4, 5))
        batch = frames if frames.ndim == 5 else frames[None]
        stack = self._trained.specs.frame_stack
        batch = np.concatenate([batch[:, :1].repeat(stack - 1, axis=1), batch], axis=1)[:, -stack:]
        actions = np.array(self._trained.devices.exploit(self._policy, np.asarray(stack_at(batch, 0, stack))))
        return actions if frames.ndim == 5 else actions[0]

    def reward(self, frames: np.ndarray) -> np.ndarray:
        """The reward ``[T]`` of each step of ``frames [T+1,H,W,3]``: Eq. 5, without Eq. 9 and 10."""
        return self._explainer.explain(self._trained.state, self._checked(frames), []).rewards

    def patch_rewards(self, frames: np.ndarray) -> np.ndarray:
        """The reward of each patch, ``[T,P,P]``, of ``frames [T+1,H,W,3]`` (h of Eq. 5)."""
        return self._explainer.patch_rewards(self._trained.state, self._checked(frames))

    def explain(self, frames: np.ndarray, kind: str = "patch_rewards") -> np.ndarray:
        """A map over the pixels, ``[T,H,W]``: ``patch_rewards``, ``attention``, ``weighted`` or ``gradcam``."""
        return self._explainer.explain(self._trained.state, self._checked(frames), [kind]).maps[kind]

    def _checked(self, frames: np.ndarray, axes: Sequence[int] = (4,)) -> np.ndarray:
        self._refuse_features()
        frames, shape = array("frames", frames), self._trained.specs.frame_shape
        if frames.ndim not in axes or frames.shape[-3:] != shape or frames.dtype != np.uint8 or not frames.size:
            forms = " or ".join(f"[{'B,' * (ndim - 4)}T,{','.join(map(str, shape))}]" for ndim in axes)
            raise UserError(f"frames are {frames.dtype} {list(frames.shape)}; they must be uint8 {forms}")
        if axes == (4,) and len(frames) < 2:
            raise UserError("a reward needs two frames: it is of the step between them")
        return frames

    def _refuse_features(self) -> None:
        if self._trained.specs.feature_count:
            raise UserError(f"the agent of {self._trained.config.method} sees the physics' features, and no frames")


def make_update(config: ConfigDict, *, action_size: int | None = None) -> "Update":
    """The method of ``config`` as an update on this machine's devices, for a loop of your own.

    ``action_size`` is asked of the config's task where it is not given.
    """
    _require_config(config)
    refuse_numbers(config)
    if action_size is None:
        action_size = action_size_of(config)
    return Update(config, whole_number("action_size", action_size, least=1, most=_MOST_ACTIONS))


class Update:
    """``state = update.init(seed)``, then ``state, metrics = update(state, agent, expert)`` again and again."""

    def __init__(self, config: ConfigDict, action_size: int) -> None:
        self.specs, self._method, self._devices = made(config, action_size)
        if self.specs.feature_count:
            raise UserError(f"make_update is for methods that see images; train {config.method} by patchail train")
        self._windows, self._pairs = config.replay.batch_size, expert_batch_size(config)
        self._first = jax.eval_shape(functools.partial(self._devices.initial, 0, {}))

    def init(self, seed: int) -> Any:
        """The first state, a pytree of arrays; ``seed`` is from 0 to 2**32 - 1."""
        return self._devices.init(whole_number("seed", seed, least=0, most=_MOST_SEED))

    def __call__(
        self, state: Any, agent: AgentBatch, expert: ExpertBatch, demonstration: np.ndarray | None = None
    ) -> tuple[Any, dict[str, jax.Array]]:
        """The next state and the update's metrics; the given state is consumed.

        ``agent`` are B n-step windows of your replay (``replay.batch_size``) and ``expert`` are E pairs
        (``replay.expert_batch_size``, or B where that is 0); S frames are stacked, and the expert's pairs are k steps
        apart, 1 but for LAIfO:

        - ``agent.frames [B,S+n,H,W,3] uint8``, ``agent.actions [B,A]`` of each window's first step,
          ``agent.rewards [B,n]`` and ``agent.discounts [B,n]``;
        - ``expert.frames [E,S+k,H,W,3] uint8``, ``expert.actions [E,A]``, read by methods that clone;
        - ``demonstration [M,S+1,H,W,3] uint8``, all pairs (s, s') of one demonstration, for methods that read one.

        ``UserError`` for other shapes, for frames that are not uint8, and for a state that is another method's or was
        consumed.
        """
        state = self._usable(state)
        specs, needs, count = self.specs, self._method.needs, self._devices.count
        windows, pairs = self._windows, self._pairs
        agent_frames = (windows, specs.frame_stack + specs.n_step, *specs.frame_shape)
        expert_frames = (pairs, specs.frame_stack + needs.expert_steps, *specs.frame_shape)
        agent = AgentBatch(
            field_of("agent", agent, "frames", agent_frames, np.uint8),
            field_of("agent", agent, "actions", (windows, specs.action_size)),
            field_of("agent", agent, "rewards", (windows, specs.n_step)),
            field_of("agent", agent, "discounts", (windows, specs.n_step)),
        )
        expert = ExpertBatch(
            field_of("expert", expert, "frames", expert_frames, np.uint8),
            field_of("expert", expert, "actions", (pairs, specs.action_size)),
        )
        each = (specs.frame_stack + 1, *specs.frame_shape)
        whole = np.zeros((0, *each), np.uint8)
        if demonstration is not None or needs.demonstration:
            whole = fitting("demonstration", whole if demonstration is None else demonstration, ("M", *each), np.uint8)

        def shared(leaf: np.ndarray) -> np.ndarray:
            return leaf.reshape(count, 1, len(leaf) // count, *leaf.shape[1:])

        index = np.arange(max(windows, pairs), dtype=np.int32)
        batch = Batch(
            AgentBatch(*map(shared, agent)),
            ExpertBatch(*map(shared, expert)),
            np.broadcast_to(whole, (count, 1, *whole.shape)),
            shared(index[:windows]),
            shared(index[:pairs]),
        )
        state, metrics = self._devices.update(state, self._devices.spread(batch))
        return state, dict(zip(metrics.names, metrics.values, strict=True))

    def act(self, state: Any, observations: np.ndarray) -> np.ndarray:
        """Mean actions ``[B,A]`` for stacks of frames ``[B,H,W,3S] uint8``, oldest first; ``UserError`` for others."""
        height, width, channels = self.specs.frame_shape
        form = ("B", height, width, channels * self.specs.frame_stack)
        observations = fitting("observations", observations, form, np.uint8)
        return np.array(self._devices.exploit(self._devices.publish(self._usable(state)), observations))

    def reward(self, state: Any, frames: np.ndarray) -> np.ndarray:
        """Rewards ``[T]`` of an episode's ``frames [T+1,H,W,3] uint8``, as the method would store them.

        ``UserError`` for other frames, and for a method whose replay keeps no rewards of its own.
        """
        if self._method.label is None or self._method.needs.whole_episodes:
            raise UserError(
                "this method stores no rewards of its own; for a discriminator's set "
                "config.reward.moment=at_episode_end"
            )
        frames = fitting("frames", frames, ("T+1", *self.specs.frame_shape), np.uint8, least=2)
        _, rewards = self._devices.label(self._usable(state), frames)
        assert rewards is not None
        return rewards

    def _usable(self, state: Any) -> Any:
        """``state`` on the devices: one from a file is of numpy's arrays. ``UserError`` for a strange one."""
        require_state(state, self._first)
        here = all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
        return state if here else self._devices.place(state)


def _require_config(config: Any) -> None:
    if not isinstance(config, ConfigDict):
        raise UserError(f"config is a {type(config).__name__}; give one that configs.cheetah.get_config() makes")
