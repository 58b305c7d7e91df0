"""What demonstrations are made of in memory, and what makes them sound."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from patchail_jax.errors import UserError

DTYPES = {
    "states": np.dtype(np.float64),
    "frames": np.dtype(np.uint8),
    "actions": np.dtype(np.float32),
    "rewards": np.dtype(np.float32),
    "lengths": np.dtype(np.int64),
}
_MOST_REPEAT = 10**9
_SLOWEST, _FASTEST = 1e-6, 1e9  # steps a second
_AXES = {
    "states": "[D,T+1,X]",
    "frames": "[D,T+1,H,H,3]",
    "actions": "[D,T,A]",
    "rewards": "[D,T]",
    "lengths": "[D]",
}


class Trajectories(NamedTuple):
    """D demonstrations of at most T agent steps each.

    Either ``states [D,T+1,X] float64`` (``physics.get_state()``, X = nq+nv+na) or ``frames [D,T+1,H,H,3] uint8``, one
    an agent step; ``actions [D,T,A] float32`` in [-1, 1], all NaN for a demonstration without, or None where none has
    any; ``rewards [D,T] float32`` (the task's own, summed over the action repeat) or None. ``metadata`` has at least
    ``task`` (str) and ``action_repeat`` (frames a step).
    ``lengths [D] int64`` has each demonstration's own number of steps, 1..T; None when all have T. What stands behind
    a demonstration's end means nothing.
    """

    states: np.ndarray | None
    actions: np.ndarray | None
    rewards: np.ndarray | None
    metadata: dict[str, Any]
    frames: np.ndarray | None = None
    lengths: np.ndarray | None = None

    @property
    def observed(self) -> np.ndarray:
        """The states, or the frames: ``[D,T+1,...]``."""
        observed = self.frames if self.states is None else self.states
        assert observed is not None
        return observed

    @property
    def steps(self) -> np.ndarray:
        """Steps of each demonstration, ``[D] int64``."""
        demonstrations, length = self.observed.shape[:2]
        return np.full(demonstrations, length - 1) if self.lengths is None else self.lengths

    @property
    def returns(self) -> np.ndarray | None:
        """The sum of each demonstration's rewards, ``[D] float64``, as evaluation sums the agent's."""
        if self.rewards is None:
            return None
        inside = np.arange(self.rewards.shape[1]) < self.steps[:, None]
        return np.where(inside, self.rewards, 0.0).sum(axis=1, dtype=np.float64)

    @property
    def without_actions(self) -> list[int]:
        """The numbers of the demonstrations that have no actions."""
        if self.actions is None:
            return list(range(len(self.steps)))
        return np.flatnonzero(np.isnan(self.actions).all(axis=(1, 2))).tolist()

    def demonstration(self, d: int) -> "Demonstration":
        """Demonstration ``d`` at its own length."""
        steps = self.steps[d]
        actions, rewards = (None if part is None else part[d, :steps] for part in (self.actions, self.rewards))
        actions = None if actions is None or np.isnan(actions).all() else actions
        return Demonstration(self.observed[d, : steps + 1], actions, rewards)

    def first(self, count: int) -> "Trajectories":
        """The first ``count`` demonstrations."""
        held: dict[str, Any] = {key: getattr(self, key) for key in DTYPES if getattr(self, key) is not None}
        return self._replace(**{key: array[:count] for key, array in held.items()})


def check(trajectories: Trajectories, *, name: str) -> None:
    """UserError, one line that starts with ``name``, for anything that ``Trajectories`` does not allow."""
    metadata = trajectories.metadata
    if not isinstance(metadata, dict) or not isinstance(metadata.get("task"), str):
        raise UserError(f"{name}: 'metadata' must be an object with a string 'task'")
    repeat = metadata.get("action_repeat")
    if not isinstance(repeat, int) or isinstance(repeat, bool) or not 1 <= repeat <= _MOST_REPEAT:
        said = f"{name}: 'action_repeat' in 'metadata' must be a whole number from 1 to {_MOST_REPEAT}"
        raise UserError(f"{said}, not {repr(repeat)[:40]}")
    _check_what_an_import_says(metadata, name=name)
    present = {key: getattr(trajectories, key) for key in DTYPES if getattr(trajectories, key) is not None}
    for key, array in present.items():
        if not hasattr(array, "dtype"):
            raise UserError(f"{name}: {key!r} must be a numpy array, not a {type(array).__name__}")
        if array.dtype != DTYPES[key]:
            raise UserError(f"{name}: {key!r} must be {DTYPES[key]}, not {array.dtype}")
        if array.ndim != _AXES[key].count(",") + 1 or 0 in array.shape:
            raise UserError(f"{name}: {key!r} must be {_AXES[key]} with no empty axis, not {list(array.shape)}")
    if ("states" in present) == ("frames" in present):
        raise UserError(f"{name}: must hold either 'states' or 'frames'")
    demonstrations, steps = trajectories.observed.shape[0], trajectories.observed.shape[1] - 1
    if steps < 1:
        raise UserError(f"{name}: must hold at least two states or frames a demonstration, for one pair")
    pixels = [] if trajectories.frames is None else list(trajectories.frames.shape)
    if pixels and (pixels[2] != pixels[3] or pixels[4] != 3):
        raise UserError(f"{name}: 'frames' must be {_AXES['frames']}, square and in colour, not {pixels}")
    wanted = {"actions": f"[{demonstrations},{steps},A]", "rewards": f"[{demonstrations},{steps}]"}
    for key in wanted.keys() & present.keys():
        if present[key].shape[:2] != (demonstrations, steps):
            raise UserError(f"{name}: {key!r} must be {wanted[key]} to fit the rest, not {list(present[key].shape)}")
    if trajectories.lengths is not None and (
        trajectories.lengths.shape != (demonstrations,)
        or trajectories.lengths.min() < 1
        or trajectories.lengths.max() > steps
    ):
        raise UserError(f"{name}: 'lengths' must be {demonstrations} numbers from 1 to {steps}")
    actions = None
    if trajectories.actions is not None:
        actions = np.delete(trajectories.actions, trajectories.without_actions, axis=0)
    for key, array in (("states", trajectories.states), ("actions", actions), ("rewards", trajectories.rewards)):
        if array is not None and not np.isfinite(array).all():
            raise UserError(f"{name}: {key!r} has values that are not finite")
    if actions is not None and np.abs(actions).max(initial=0.0) > 1:
        raise UserError(f"{name}: 'actions' must lie in [-1, 1], not up to {np.abs(actions).max():g}")


def _check_what_an_import_says(metadata: dict[str, Any], *, name: str) -> None:
    """UserError for what ``Gathering.finish`` would not have written; all of it may be absent."""
    size, rate, notes = (metadata.get(key) for key in ("video_size", "steps_per_second", "notes"))
    wanted = ""
    if "video_size" in metadata and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        wanted = f"'video_size' in 'metadata' must be a whole number of pixels, not {size!r}"
    elif "steps_per_second" in metadata and (
        not isinstance(rate, int | float) or isinstance(rate, bool) or not _SLOWEST <= rate <= _FASTEST
    ):
        wanted = f"'steps_per_second' in 'metadata' must be a number from {_SLOWEST:g} to {_FASTEST:g}, not {rate!r}"
    elif "notes" in metadata and (not isinstance(notes, list) or not all(isinstance(note, str) for note in notes)):
        wanted = f"'notes' in 'metadata' must be a list of strings, not {notes!r}"
    if wanted:
        raise UserError(f"{name}: {wanted[:200]}")


class Demonstration(NamedTuple):
    """One demonstration: its frames or states, ``observed [T+1,...]``; ``actions [T,A]``, ``rewards [T]`` or None."""

    observed: np.ndarray
    actions: np.ndarray | None = None
    rewards: np.ndarray | None = None


def assemble(
    demonstrations: Sequence[Demonstration],
    metadata: dict[str, Any],
    *,
    name: str,
    release: Callable[[], object] | None = None,
) -> Trajectories:
    """Demonstrations of any lengths as one record; behind the end of the shorter ones stand zeros.

    Where some have actions, those without have NaN; rewards that one of them lacks are left out. ``release`` is called
    after each has been copied, the last one first, so that it need not stay in memory. Raises UserError, a line that
    starts with ``name``, where there is none, where they differ in the size of frames or actions, or where one has not
    one action and one reward a step.
    """
    if not demonstrations:
        raise UserError(f"{name}: holds no demonstrations")
    for d, demonstration in enumerate(demonstrations):
        _require_arrays(demonstration, name=f"{name}: demonstration {d}")
    lengths = np.array([len(demonstration.observed) - 1 for demonstration in demonstrations])
    longest = int(lengths.max())
    observed, actions, rewards = (
        _room([getattr(demonstration, key) for demonstration in demonstrations], longest, key, name=name)
        for key in Demonstration._fields
    )
    assert observed is not None
    if any(demonstration.rewards is None for demonstration in demonstrations):
        rewards = None
    for d in reversed(range(len(demonstrations))):
        last = demonstrations[d]
        steps = len(last.observed) - 1
        observed[d, : steps + 1] = last.observed
        if actions is not None:
            actions[d, :steps] = np.nan if last.actions is None else last.actions
            actions[d, steps:] = np.nan if last.actions is None else 0.0
        if rewards is not None:
            rewards[d, :steps] = last.rewards
        del last
        if release is not None:
            release()
    states, frames = (None, observed) if observed.ndim == 5 else (observed, None)
    same = (lengths == lengths[0]).all()
    return Trajectories(states, actions, rewards, metadata, frames, None if same else lengths)


def _require_arrays(demonstration: Demonstration, *, name: str) -> None:
    """``UserError`` unless the parts are arrays, with one action and one reward a step: numpy would repeat one."""
    steps = len(demonstration.observed) - 1
    for key, part in demonstration._asdict().items():
        if part is not None and not isinstance(part, np.ndarray):
            raise UserError(f"{name}: {key!r} must be a numpy array, not a {type(part).__name__}")
        if part is not None and key != "observed" and len(part) != steps:
            raise UserError(f"{name}: {len(part)} {key} and {steps + 1} frames or states: give {steps}, one a step")


def _room(parts: Sequence[np.ndarray | None], longest: int, key: str, *, name: str) -> np.ndarray | None:
    """Zeros for all parts; None where there are none."""
    given = [part for part in parts if part is not None]
    if not given:
        return None
    shapes = list({part.shape[1:]: None for part in given})
    if len(shapes) > 1:
        what, remedy = ("frames", "--image_size") if key == "observed" else (key, "--no_actions")
        listed = " and ".join(str(list(shape)) for shape in shapes[:2])
        raise UserError(f"{name}: the demonstrations' {what} differ in size ({listed}): use {remedy}")
    return np.zeros((len(parts), longest + (key == "observed"), *shapes[0]), given[0].dtype)
