"""Files of rows, and which of their rows start and end episodes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from patchail_jax.errors import UserError

_FIRST, _MIDDLE, _LAST = 0, 1, 2  # of step_type, dm_env's
_ENDS = (
    *("is_last", "is_terminal", "done", "dones", "terminal", "terminals", "terminated", "terminations"),
    *("timeout", "timeouts", "truncated", "truncations"),
)


class Columns(Protocol):
    """A file of named columns."""

    path: Path

    def __contains__(self, name: str) -> bool: ...
    def shape(self, name: str) -> tuple[int, ...]:
        """Of a column."""

    def take(self, name: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """Rows ``start .. end-1`` of a column."""


def marks_episodes(table: Columns) -> bool:
    """Whether the file says where its episodes start."""
    return any(name in table for name in ("step_type", "is_first"))


def refuse_ends_inside(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """UserError where an episode ends before the last row of ``columns``, which do not say where episodes start."""
    for name in (*_ENDS, "discount"):
        values = np.atleast_1d(columns.get(name, ()))
        if not values.size or values.dtype.kind not in "biuf":
            continue
        rows = np.nan_to_num(values, nan=1.0 if name == "discount" else 0.0).reshape(len(values), -1)
        ends = (rows == 0).all(axis=1) if name == "discount" else (rows != 0).any(axis=1)
        ends[0] &= name != "discount"  # which the first row of an episode may lack
        if inside := np.flatnonzero(ends[:-1]).tolist():
            raise UserError(
                f"{path}: {name} is {values[inside[0]].tolist()} in row {inside[0]} of {len(values)}, so several "
                "episodes may lie in it: add is_first, to mark where episodes start, or write a file an episode"
            )


def marks(table: Columns, count: int) -> tuple[set[int], set[int], bool]:
    """Rows that start and that end an episode, and whether the file says so."""
    if "step_type" in table:
        kinds = _marks_of(table, "step_type", (_FIRST, _MIDDLE, _LAST))
        first, last = kinds == _FIRST, kinds == _LAST
    elif "is_first" in table:
        first = _marks_of(table, "is_first", (0, 1)).astype(bool)
        names = [name for name in ("is_last", "is_terminal") if name in table]
        ends = [_marks_of(table, name, (0, 1)).astype(bool) for name in names]
        if wrong := [len(marks) for marks in ends if len(marks) != count]:
            raise UserError(
                f"{table.path}: marks starts and ends of {wrong[0]} rows but has {count} pictures: write it again"
            )
        last = np.any(ends, axis=0) if ends else np.append(first[1:], False)
    else:
        return {0}, {count - 1}, False
    if len(first) != count:
        raise UserError(f"{table.path}: marks the starts of {len(first)} rows but has {count} pictures: write it again")
    return set(np.flatnonzero(first).tolist()), set(np.flatnonzero(last).tolist()), True


def _marks_of(table: Columns, name: str, known: Sequence[int]) -> np.ndarray:
    """A column of marks, a number a row; ``UserError`` for others than those that are ``known``."""
    marks = table.take(name).reshape(-1)
    wrong = marks if marks.dtype.kind not in "biuf" else marks[~np.isin(marks, known)]
    if len(wrong):
        listed, found = ", ".join(map(str, known)), repr(wrong[:1].tolist())[1:-1]
        raise UserError(f"{table.path}: {name} must be numbers of {listed}, not {found[:40]}")
    return marks
