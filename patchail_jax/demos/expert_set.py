"""The demonstrations as the learner sees them: frames in memory, and pairs (s, s') cut from them."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patchail_jax.demos import render, trajectory
from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.task_fit import refuse_actions
from patchail_jax.envs.look import video_look
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError
from patchail_jax.files.home import expanded
from patchail_jax.types import ExpertBatch

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ExpertSet:
    """D demonstrations of at most T steps, each frame once.

    ``frames [D,T+1,H,W,3] uint8``; ``actions [D,T,A] float32`` in [-1, 1], NaN or None where unknown; ``returns [D]
    float64``, the task's own, over the whole recorded episode, or None; ``action_size`` A; ``lengths [D] int64``, the
    steps of each demonstration, or None where all have T: what stands behind its end means nothing. ``drawn``: the
    frames are of the task's own renderer, and not of a file.
    """

    frames: np.ndarray
    actions: np.ndarray | None
    returns: np.ndarray | None
    action_size: int
    lengths: np.ndarray | None = None
    drawn: bool = True

    @property
    def steps(self) -> np.ndarray:
        """Steps of each demonstration, ``[D] int64``."""
        demonstrations, length = self.frames.shape[:2]
        return np.full(demonstrations, length - 1) if self.lengths is None else self.lengths

    def demonstration(self, d: int) -> np.ndarray:
        """The frames of demonstration ``d``, ``[T+1,H,W,3] uint8``, T its own steps."""
        return self.frames[d, : self.steps[d] + 1]

    def sample(self, rng: np.random.Generator, count: int, *, frame_stack: int, apart: int = 1) -> ExpertBatch:
        """``count`` pairs of states ``apart`` steps apart, uniform over (demonstration, its steps), with replacement.

        ``frames [count,S+apart] int32`` number the frames of all demonstrations in order, d * (T+1) + t.
        """
        starts = np.maximum(self.steps - apart + 1, 0)
        ends = np.cumsum(starts)
        chosen = rng.integers(ends[-1], size=count)
        d = np.searchsorted(ends, chosen, side="right")
        return self._pairs(d, chosen - (ends - starts)[d], frame_stack, apart)

    def trajectory(self, d: int, *, frame_stack: int) -> ExpertBatch:
        """All pairs of demonstration ``d``, in order; frames as numbers ``[T,S+1] int32``, T its own steps."""
        times = np.arange(self.steps[d])
        return self._pairs(np.full_like(times, d), times, frame_stack, 1)

    def _pairs(self, d: np.ndarray, t: np.ndarray, frame_stack: int, apart: int) -> ExpertBatch:
        """Windows of the frames t-(S-1)..t+apart: the stack of s is the first S of them, that of s' the last S."""
        # Clipping repeats the first frame, as the agent's stack does at reset.
        times = np.maximum(t[:, None] + np.arange(1 - frame_stack, apart + 1), 0)
        if self.actions is None:
            actions = np.full((len(t), self.action_size), np.nan, np.float32)
        else:
            actions = self.actions[d, t]
        return ExpertBatch(frames=(d[:, None] * self.frames.shape[1] + times).astype(np.int32), actions=actions)


class Selection(NamedTuple):
    """The demonstrations that a run asks for: ``whole`` as recorded, ``seen`` at the agent's action repeat."""

    source: Path
    whole: Trajectories
    seen: Trajectories


def select(
    view: View,
    *,
    path: str | Path = "",
    num_demonstrations: int,
    memory: int | None = None,
    with_actions: bool = False,
    apart: int = 1,
) -> Selection:
    """The first ``num_demonstrations`` (0: all) of a file (``path`` "": the shipped one); nothing is drawn.

    The actions are None when ``view.action_repeat`` is not the file's, see ``trajectory.subsample``; ``memory`` is the
    bytes there are. Raises UserError for an unsound or unfitting file, for a number of demonstrations that the file
    does not hold, for states or frames that cannot be shown as ``view`` wants, for actions that are None where
    ``with_actions`` asks for them, and where no demonstration has two states that are ``apart`` steps apart.
    """
    view.drawn()  # refuses a look that does not exist
    source = expanded(path) if str(path) else trajectory.shipped(view.task)
    whole = trajectory.load(source, expected_task=view.task, action_repeat=view.action_repeat, memory=memory)
    held = len(whole.observed)
    if not 0 <= num_demonstrations <= held:
        raise UserError(
            f"{source}: holds {held} demonstrations: num_demonstrations must be 1..{held}, or 0 for all, "
            f"not {num_demonstrations}"
        )
    whole = whole.first(num_demonstrations or held)
    seen = trajectory.subsample(whole, view.action_repeat)
    if with_actions and seen.actions is None:
        raise UserError(
            f"{source}: the expert's actions are not known at action repeat {view.action_repeat}, and the method reads "
            "them: set config.env.action_repeat to the file's, or config.demos.path to a file with actions"
        )
    if with_actions and (missing := seen.without_actions):
        raise UserError(
            f"{source}: demonstrations {', '.join(map(str, missing))} have no actions, and the method reads them: "
            "convert the others alone, or use a method that imitates from pictures"
        )
    longest = seen.observed.shape[1] - 1 if seen.lengths is None else int(seen.lengths.max())
    if longest < apart:
        raise UserError(
            f"{source}: its longest demonstration has {longest} steps at action repeat {view.action_repeat}, and the "
            f"expert's pairs are {apart} apart: lower config.replay.n_step, or set "
            "config.discriminator.expert_successor=one_step"
        )
    if short := int((seen.steps < apart).sum()):
        _log.warning(
            "%s: %d of %d demonstrations have fewer than %d steps at action repeat %d: no pair of the expert's is "
            "drawn from them",
            *(source, short, len(seen.steps), apart, view.action_repeat),
        )
    if seen.frames is None and view.factory:
        raise UserError(
            f"{source}: holds states of the suite, which {view.factory} cannot draw: give a file with frames"
        )
    if seen.frames is not None and seen.frames.shape[2] != view.image_size:
        raise UserError(
            f"{source}: holds frames of {seen.frames.shape[2]} pixels, not {view.image_size}: "
            "convert it again with that --image_size, or set config.env.image_size"
        )
    return Selection(source, whole, seen)


def load_expert_set(
    selection: Selection, view: View, *, cache_dir: str | Path, action_size: int | None = None
) -> ExpertSet:
    """The selected demonstrations as the agent sees its frames.

    ``view`` is that of the agent's environment, or the discriminator tells the two apart by it. States are rendered,
    or come from the cache; frames are taken as they are. ``action_size`` is that of the agent (None: the task's).
    Raises UserError where it is another than the demonstrations'.
    """
    source, whole, seen = selection
    if seen.frames is not None:
        frames = seen.frames
        if whole.metadata.get("lossy") and view.look == "none":
            _log.warning(
                "%s: its frames come from a lossy video; set config.env.look=video, or the discriminator learns "
                "the compression",
                source,
            )
    else:
        frames = render.render(seen, view.drawn(), cache_dir=cache_dir, source=str(source))
    if view.look != "none":
        frames = np.stack([[video_look(frame, view.image_size) for frame in demonstration] for demonstration in frames])
    actions = whole.actions
    if action_size is None:
        action_size = render.task_action_size(view.task) if actions is None else actions.shape[2]
    refuse_actions(actions, action_size, task=view.task, source=str(source))
    return ExpertSet(
        frames=np.ascontiguousarray(frames),  # thinned ones are not, and each batch would copy them all
        actions=seen.actions,
        # Summed before thinning, which may drop a remainder.
        returns=whole.returns,
        action_size=action_size,
        lengths=seen.lengths,
        drawn=seen.frames is None,
    )
