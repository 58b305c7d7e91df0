"""A preallocated ring of single frames, filled with whole episodes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from patchail_jax.errors import UserError
from patchail_jax.replay.episode_table import EpisodeTable
from patchail_jax.replay.windows import frame_times, transition_times, window_count
from patchail_jax.types import AgentBatch, Episode, Rows, Specs, slices

_SLICE = 2**23  # bytes copied at a time


def nbytes(capacity: int, specs: Specs) -> int:
    """Bytes of a ring of ``capacity`` frame slots."""
    frame = int(np.prod(specs.frame_shape)) * np.dtype(specs.frame_dtype).itemsize
    return capacity * (frame + 4 * (specs.action_size + 2))


class Ring:
    """``capacity`` slots, each a frame ``[H,W,3] uint8`` and the transition that starts at it.

    An episode of T transitions lies in T+1 slots; the last of them carries no transition. When the write head comes to
    an old episode, that episode goes as a whole, so no window ever spans the head.
    """

    def __init__(self, *, capacity: int, specs: Specs) -> None:
        self._capacity, self._specs = capacity, specs
        # Memory is touched when it is written, not here.
        self._frames = np.empty((capacity, *specs.frame_shape), specs.frame_dtype)
        self._actions = np.zeros((capacity, specs.action_size), np.float32)
        self._rewards = np.zeros(capacity, np.float32)
        self._discounts = np.zeros(capacity, np.float32)
        self._head = 0
        self._stored = EpisodeTable()

    def __len__(self) -> int:
        """Windows that can be drawn now."""
        return self._stored.windows

    @property
    def episodes(self) -> int:
        """Episodes held."""
        return len(self._stored)

    @property
    def transitions(self) -> int:
        """Transitions held."""
        return self._stored.transitions

    @property
    def slots(self) -> int:
        """Frames that fit in."""
        return self._capacity

    @property
    def frames(self) -> np.ndarray:
        """All slots, ``[slots,H,W,3]``, for reading; what lies in slots that no window names is arbitrary."""
        return self._frames

    def add(self, episode: Episode) -> np.ndarray:
        """Stores one finished episode and returns its frames' slots ``[T+1]``; ``UserError`` when it does not fit.

        An episode without a window, shorter than n steps and not terminated, is not stored: it would only push out
        others, in the end all that can be drawn. Its slots are none.
        """
        transitions = len(episode.actions)
        terminated = bool(transitions) and episode.discounts[-1] == 0
        windows = window_count(transitions, n_step=self._specs.n_step, terminated=terminated)
        if not windows:
            return np.zeros(0, np.int64)
        if transitions + 1 > self._capacity:
            raise UserError(
                f"an episode of {transitions} transitions does not fit in a replay of {self._capacity} frames; "
                "raise config.replay.capacity"
            )
        while self._stored.slots + transitions + 1 > self._capacity:
            self._stored.drop_oldest()
        slots = self._slots(self._head, np.arange(transitions + 1))
        self._frames[slots] = episode.frames
        self._actions[slots[:-1]] = episode.actions
        self._rewards[slots[:-1]] = episode.rewards
        self._discounts[slots[:-1]] = episode.discounts
        self._stored.add(self._head, transitions, windows)
        self._head = int(self._slots(slots[-1], np.asarray(1)))
        return slots

    def rescore(self, score: Callable[[np.ndarray], np.ndarray]) -> None:
        """Puts ``score(frames [T+1,H,W,3]) -> [T]`` in the place of every episode's rewards."""
        for first, transitions in self._stored:
            slots = self._slots(first, np.arange(transitions + 1))
            self._rewards[slots[:-1]] = score(self._frames[slots])

    def sample_indices(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """``count`` windows drawn uniformly, with replacement, from all that ``__len__`` counts: ``[count] int64``.

        A window's number stays its own until the next ``add``.
        """
        return rng.integers(0, len(self), size=count)

    def windows(self, numbers: np.ndarray) -> AgentBatch:
        """The windows with the given numbers ``[...]``: slots ``[..., S+n] int32``, ``[...,A]``, ``[...,n]`` twice."""
        first, transitions, starts = self._stored.find(numbers)
        specs = self._specs
        frames = frame_times(starts, transitions, frame_stack=specs.frame_stack, n_step=specs.n_step)
        times, exists = transition_times(starts, transitions, n_step=specs.n_step)
        slots = self._slots(first[..., None], times)
        return AgentBatch(
            frames=self._slots(first[..., None], frames).astype(np.int32),
            actions=self._actions[self._slots(first, starts)],
            rewards=np.where(exists, self._rewards[slots], np.float32(0)),
            discounts=np.where(exists, self._discounts[slots], np.float32(0)),
        )

    def used_slots(self) -> np.ndarray:
        """The slots that hold episodes, oldest first."""
        return self._slots_of(self._stored)

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs: the slots in use, oldest first, and the table of episodes.

        The slots are not copied: they count until the next ``add``.
        """
        return {
            "head": self._head,
            "episodes": self._stored.rows.copy(),
            **{name: self._used(array) for name, array in self._arrays.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over ``state``, slot for slot: the same numbers draw the same windows.

        Arrays are copied slice by slice. Where one cannot be read, the ring is empty, and can be loaded again.
        """
        self._stored = EpisodeTable()
        stored = EpisodeTable(state["episodes"])
        slots = self._slots_of(stored)
        for name, array in self._arrays.items():
            if len(state[name]) != len(slots):
                raise ValueError(f"{name} of {len(state[name])} slots, and episodes of {len(slots)}")
            for rows, values in slices(state[name], nbytes=_SLICE):
                array[slots[rows]] = values
        self._head, self._stored = int(state["head"]), stored

    @property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "frames": self._frames,
            "actions": self._actions,
            "rewards": self._rewards,
            "discounts": self._discounts,
        }

    def _used(self, array: np.ndarray) -> Rows:
        """The used slots of ``array``, oldest first: two ranges of it at the most, of which slices are views."""
        count = self._stored.slots
        first = int(self._stored.rows[0, 0]) if count else 0

        def read(start: int, stop: int) -> np.ndarray:
            begin, length = (first + start) % self._capacity, stop - start
            beyond = begin + length - self._capacity
            if beyond <= 0:
                return array[begin : begin + length]
            return np.concatenate([array[begin:], array[:beyond]])

        return Rows((count, *array.shape[1:]), array.dtype, read)

    def _slots_of(self, stored: EpisodeTable) -> np.ndarray:
        return self._slots(stored.rows[0, 0], np.arange(stored.slots)) if len(stored) else np.zeros(0, np.int64)

    def _slots(self, first: Any, offset: np.ndarray) -> np.ndarray:
        return (first + offset) % self._capacity
