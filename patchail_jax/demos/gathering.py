"""What every import does with an episode, wherever it comes from: fits its parts, sizes its frames, notes the rest."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from patchail_jax.demos import pictures
from patchail_jax.demos.form import Demonstration, Trajectories, assemble
from patchail_jax.demos.kept_frames import KeptFrames
from patchail_jax.demos.pictures import Notes
from patchail_jax.envs.look import square
from patchail_jax.errors import UserError

TOO_MUCH = "more frames than memory has room for: take fewer or smaller ones (--image_size)"
MIDDLE = "pictures of {}x{} are cut to their middle square"
_LAST_REWARD = "the last reward of an episode has no frame behind it and is left out: returns lack it"
_ROUNDING = 1e-3
_LARGEST_REWARD = 1e30  # of which many can still be summed


@dataclass(frozen=True)
class Request:
    """What is asked of every import.

    ``memory`` in bytes; ``image_size`` in pixels a side (None: the frames' own); ``num_demonstrations`` is how many of
    the first are taken (None: all), and fewer are an error. ``layout`` is one of ``pictures.LAYOUTS``, "" where it is
    to be found. ``bounds ((low, high), ...)``, one for all numbers of an action or one each, become [-1, 1];
    ``actions`` False leaves them out.
    """

    task: str
    action_repeat: int
    memory: int
    image_size: int | None = None
    num_demonstrations: int | None = None
    flip: str = "none"
    layout: str = ""
    bounds: tuple[tuple[float, float], ...] = ()
    actions: bool = True


@dataclass
class Gathering:
    """Demonstrations of one import, from ``source`` (its name in messages), as they come.

    ``foreign_units`` are actions in a robot's own units: where one lies outside of [-1, 1], those of all demonstrations
    are left out with a note, and otherwise it is refused. ``lossy`` and ``video_size`` are set for frames of videos,
    see ``import_video.advice``, and ``steps_per_second`` where it is known.
    """

    request: Request
    source: str
    foreign_units: bool = False
    notes: Notes = field(default_factory=dict)
    lossy: bool = False
    video_size: int = 0
    steps_per_second: float | None = None
    demonstrations: list[Demonstration] = field(default_factory=list)
    _spent: int = 0
    _left_out: dict[str, list[int]] = field(default_factory=dict)
    _scale: str = ""
    _beyond: list[int] = field(default_factory=list)
    _alike: dict[bytes, list[int]] = field(default_factory=dict)  # demonstrations by what their frames show

    @property
    def full(self) -> bool:
        """Whether there are as many as were asked for."""
        return len(self.demonstrations) == self.request.num_demonstrations

    def add_arrays(self, frames: np.ndarray, actions: Any, rewards: Any, *, name: str) -> None:
        """Takes in an episode whose pictures are one array of any layout and numbers, see ``add``."""
        where = self.where(name)
        try:
            if frames.ndim != 4:
                raise UserError(f"pictures must have four axes (time and three), not {list(frames.shape)}")
            layout = pictures.find_layout(frames.shape[1:], asked=self.request.layout)
            if not self.request.layout:
                pictures.refuse_grey_stacks(frames, layout)
            pictures.refuse_newest_first(frames, layout)
            newest = pictures.from_array(frames, layout, self.notes)
            colours = pictures.to_bytes(newest, self.notes)
            found = pictures.scale(newest)
            pictures.refuse_two_scales(found, self._scale)
            self._scale = self._scale or found
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        self.add(colours, actions, rewards, name=name)

    def add(self, frames: Iterable[np.ndarray], actions: Any, rewards: Any, *, name: str) -> None:
        """Takes in an episode of ``frames``, each ``[H,W,3] uint8``, one or two of them at a time in memory.

        ``actions [T,A]`` and ``rewards [T]`` or ``[T,1]``, or None: for T+1 frames one between two of them, for T
        frames one at each, of which the last led to nothing that is shown. Other numbers of them do not fit: they are
        left out with a note. Raises UserError, which names source and demonstration, for frames that are smaller than
        asked for, fewer than two or more than memory has room for, and for actions outside of [-1, 1].
        """
        where, kept, spent = self.where(name), KeptFrames(), 0
        flipped, size = pictures.FLIPS[self.request.flip], self.request.image_size
        for frame in frames:
            side = min(frame.shape[:2])
            size = size or side
            if side < pictures.SMALLEST:
                raise UserError(
                    f"{where}: frames of {frame.shape[1]}x{frame.shape[0]} pixels are too small to show anything: each "
                    f"side must have {pictures.SMALLEST} or more"
                )
            if frame.shape[0] != frame.shape[1]:
                self.notes.setdefault(MIDDLE.format(frame.shape[1], frame.shape[0]))
            try:
                spent += kept.append(square(np.flip(frame, flipped), size))
            except UserError as error:
                raise UserError(f"{where}: {error}: use --image_size {side}") from error
            if self._spent + 2 * spent > self.request.memory:  # twice while they are put together
                raise UserError(f"{where}: {TOO_MUCH}")
        if len(kept) < 2:
            raise UserError(f"{where}: has {len(kept)} frames; there must be 2 or more for one step")
        self._spent, steps = self._spent + spent, len(kept) - 1
        if not self.request.actions:
            actions = None
        fitting = self._actions(self._fit(actions, steps, "actions"), where)
        reward = self._fit(rewards, steps, "rewards")
        if reward is not None:
            reward = reward.reshape(steps, -1)
            if reward.shape[1] != 1 or reward.dtype.kind not in "fiub":
                raise UserError(f"{where}: rewards must be one number a step, not {reward.dtype}[{reward.shape[1]}]")
            reward = reward[:, 0].astype(np.float64)
            if not (np.abs(reward) < _LARGEST_REWARD).all():
                self.leave_out(f"rewards that are not finite, or beyond {_LARGEST_REWARD:g}, are left out")
                reward = None
            elif len(rewards) > steps and np.any(rewards[-1]):
                self.notes.setdefault(_LAST_REWARD)
        single = None if reward is None else reward.astype(np.float32)
        shown = kept.whole()
        self._alike.setdefault(hashlib.blake2b(shown.data).digest(), []).append(len(self.demonstrations))
        self.demonstrations.append(Demonstration(shown, fitting, single))

    def leave_out(self, reason: str) -> None:
        """Notes ``reason`` for the demonstration that comes next; equal ones become one line."""
        self._left_out.setdefault(reason, []).append(len(self.demonstrations))

    def where(self, name: str) -> str:
        """The beginning of a message on the demonstration that comes next, which the file calls ``name``."""
        return f"{self.source}: demonstration {len(self.demonstrations)} ({name})"

    def finish(self, origin: str) -> Trajectories:
        """All of them; ``origin`` is what the file of demonstrations says of where they come from."""
        longest = max((demonstration.observed.nbytes for demonstration in self.demonstrations), default=0)
        if longest * len(self.demonstrations) > self.request.memory:
            raise UserError(f"{self.source}: all demonstrations padded to the longest are {TOO_MUCH}")
        metadata: dict[str, Any] = {
            "task": self.request.task,
            "action_repeat": self.request.action_repeat,
            "source": origin,
        }
        if self.request.flip != "none":
            metadata["flipped"] = self.request.flip
        if self.steps_per_second is not None:
            metadata["steps_per_second"] = self.steps_per_second
        if self.lossy:
            metadata |= {"lossy": True, "video_size": self.video_size}
        if self._beyond:
            beyond = f"actions of {_listed(self._beyond)} lie outside of [-1, 1]"
            self.notes.setdefault(f"{beyond}, so those of all are left out; --action_bounds scales them")
            self.demonstrations = [demonstration._replace(actions=None) for demonstration in self.demonstrations]
        known = [demonstration.rewards is not None for demonstration in self.demonstrations]
        if any(known) and not all(known):
            self.notes.setdefault("rewards of a part of the demonstrations are left out")
        for numbers in self._alike.values():
            if len(numbers) > 1:
                self.notes.setdefault(f"{_listed(numbers)} show the same: are they one, which counts more than once?")
        notes = [*self.notes, *(f"{_listed(numbers)}: {reason}" for reason, numbers in self._left_out.items())]
        if notes:
            metadata["notes"] = notes
        held, wanted = self.demonstrations, self.request.num_demonstrations
        if not held and notes:
            raise UserError(f"{self.source}: holds no demonstrations ({'; '.join(notes)[:300]})")
        if held and wanted is not None:
            require_as_many(len(held), wanted, source=self.source)
        return assemble(held, metadata, name=self.source, release=held.pop)

    def _fit(self, given: Any, steps: int, what: str) -> np.ndarray | None:
        if given is None:
            return None
        array = np.asarray(given)
        count = len(array) if array.ndim else 0
        if count not in (steps, steps + 1):
            self.leave_out(f"{count} {what} do not fit {steps + 1} frames and are left out")
            return None
        return array[:steps]

    def _actions(self, actions: np.ndarray | None, where: str) -> np.ndarray | None:
        if actions is None:
            return None
        if actions.ndim == 1:
            actions = actions[:, None]
        if actions.ndim != 2 or actions.dtype.kind != "f" or not actions.shape[1]:
            raise UserError(
                f"{where}: actions must be rows of floats in [-1, 1], not {actions.dtype}{list(actions.shape)}: "
                "use --no_actions to take the frames alone"
            )
        if not np.isfinite(actions).all():
            raise UserError(f"{where}: has actions that are not finite: use --no_actions to take the frames alone")
        if self.request.bounds:
            bounds = np.array(self.request.bounds, np.float64)
            if len(bounds) not in (1, actions.shape[1]):
                raise UserError(
                    f"{where}: has actions of size {actions.shape[1]}, and {len(bounds)} bounds are given: "
                    "give --action_bounds one pair for all, or one for each"
                )
            low, high = bounds.T
            actions = 2 * (actions - low) / (high - low) - 1
        largest = float(np.abs(actions).max(initial=0.0))
        if largest > 1 + _ROUNDING:
            if self.foreign_units:
                self._beyond.append(len(self.demonstrations))
                return None
            raise UserError(
                f"{where}: actions must lie in [-1, 1], not up to {largest:g}: use --action_scale, --action_bounds or "
                "--no_actions"
            )
        return np.clip(actions, -1.0, 1.0).astype(np.float32)


def require_as_many(held: int, wanted: int, *, source: str) -> None:
    """``UserError`` where ``source`` holds fewer demonstrations than ``wanted``."""
    if held < wanted:
        raise UserError(
            f"{source}: holds {held} demonstrations, not {wanted}: lower --num_demonstrations or leave it out"
        )


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:20])) + (f" and {len(numbers) - 20} more" if len(numbers) > 20 else "")
    return f"demonstration{'s' if len(numbers) > 1 else ''} {shown}"
