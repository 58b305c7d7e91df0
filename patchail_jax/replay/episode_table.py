"""Where the episodes of a ring lie."""

from collections.abc import Iterator

import numpy as np

COLUMNS = ("slot", "transitions", "windows")  # of a row: an episode's first slot, its transitions T, its windows
_ROOM = 64  # rows, at first


class EpisodeTable:
    """Rows of ``COLUMNS``, oldest first. Adding one and dropping the oldest take the same time however many there are.

    The windows of all episodes are numbered in the order of the rows, from 0.
    """

    def __init__(self, rows: np.ndarray | None = None) -> None:
        held = np.zeros((0, len(COLUMNS)), np.int64) if rows is None else np.asarray(rows, np.int64)
        self._first, self._end = 0, len(held)
        self._rows = np.zeros((max(_ROOM, 2 * len(held)), len(COLUMNS)), np.int64)
        self._rows[: self._end] = held.reshape(-1, len(COLUMNS))
        # Windows up to the end of each row, those of dropped rows included.
        self._ends = np.zeros(len(self._rows), np.int64)
        self._ends[: self._end] = np.cumsum(self._rows[: self._end, 2])
        self._dropped = 0  # windows of dropped rows
        self._transitions = int(self._rows[: self._end, 1].sum())

    def __len__(self) -> int:
        """Episodes."""
        return self._end - self._first

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The first slot and the transitions of each episode."""
        for slot, transitions, _ in self.rows.tolist():
            yield slot, transitions

    @property
    def rows(self) -> np.ndarray:
        """All rows, ``[N,3] int64``, until the next change."""
        return self._rows[self._first : self._end]

    @property
    def transitions(self) -> int:
        """Transitions of all episodes."""
        return self._transitions

    @property
    def slots(self) -> int:
        """Slots that all episodes take: one more than its transitions each."""
        return self._transitions + len(self)

    @property
    def windows(self) -> int:
        """Windows of all episodes."""
        return int(self._ends[self._end - 1]) - self._dropped if len(self) else 0

    def add(self, slot: int, transitions: int, windows: int) -> None:
        """A new row at the end."""
        if self._end == len(self._rows):
            self._make_room()
        total = self._dropped + self.windows + windows
        self._rows[self._end], self._ends[self._end] = (slot, transitions, windows), total
        self._end += 1
        self._transitions += transitions

    def drop_oldest(self) -> None:
        """Without the first row."""
        self._transitions -= int(self._rows[self._first, 1])
        self._dropped = int(self._ends[self._first])
        self._first += 1

    def find(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of windows ``[...]`` by number: their episode's first slot and transitions, and the step they begin at."""
        numbers = windows + self._dropped
        order = np.searchsorted(self._ends[self._first : self._end], numbers, side="right") + self._first
        slot, transitions, count = self._rows[order].T
        return slot.T, transitions.T, numbers - (self._ends[order] - count.T)

    def _make_room(self) -> None:
        """Moves the rows to the front, of arrays that are twice as long as they are."""
        rows, ends = self.rows, self._ends[self._first : self._end]
        room = max(_ROOM, 2 * len(rows))
        self._rows, self._ends = (
            np.concatenate([old, np.zeros((room - len(old), *old.shape[1:]), np.int64)]) for old in (rows, ends)
        )
        self._first, self._end = 0, len(rows)
