"""The runs of a sweep on the console: a table that rich draws over on a terminal, in a file only what changes."""

import collections
import contextlib
import csv
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from patchail_jax.outputs.duration import duration
from patchail_jax.outputs.eval_rows import COLUMNS
from patchail_jax.storage import run_names

TAIL_BYTES = 4096  # holds the last lines of a run's metrics, and of its console
_AT_WORK = ("running", "crashed", "elsewhere")  # in the drawn table; what failed has been said above it
_GIVEN_UP = ("failed", "refused", "stopped")
_MINUTE, _HOUR = 60, 3600  # seconds


class Row(NamedTuple):
    """One run: its name and state, how often it was started, its last logged frame of how many, its last evaluation."""

    name: str
    status: str
    tries: int
    frame: int
    target: int
    score: float | None

    def cells(self) -> tuple[str, ...]:
        """The row in words."""
        score = "" if self.score is None else f"return {self.score:.1f}"
        again = "" if self.tries <= 1 else f"start {self.tries}"
        return self.name, self.status, f"{self.frame:,} frames", score, again


class _Console(Console):
    """rich's, which would end the program where its reader has gone."""

    def on_broken_pipe(self) -> None:
        """Called while the error is handled: it is the table's to take."""
        raise OSError("broken pipe")


class LiveTable:
    """Shows rows on ``stream``: on a terminal those at work and a line of totals, which never wrap; else what changes.

    A terminal that is gone is no error: the runs go on.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = _Console(file=stream, highlight=False, soft_wrap=True)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._forecast = Forecast(clock)
        self._shown: dict[str, tuple[str, int]] = {}

    def say(self, line: str) -> None:
        """A line above the table."""
        with self._while_there():
            self._console.print(line, markup=False, soft_wrap=True)

    def show(self, rows: Sequence[Row]) -> None:
        """The rows as they are now."""
        with self._while_there():
            if self._live is None:
                self._show_changes(rows)
            else:
                self._live.start()
                self._live.update(self._drawn(rows), refresh=True)

    def close(self, rows: Sequence[Row]) -> None:
        """The last words: the rows as they are, and their totals."""
        self.show(rows)
        with self._while_there():
            if self._live is None:
                self.say(totals(rows))
            else:
                self._live.stop()

    @contextlib.contextmanager
    def _while_there(self) -> Iterator[None]:
        """Writes while there is somebody who reads; what Python flushes when it ends goes nowhere from then on."""
        try:
            yield
        except OSError:
            self._console.quiet = True
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._console.file.fileno())

    def _show_changes(self, rows: Sequence[Row]) -> None:
        for row in rows:
            state = row.status, row.tries
            before = self._shown.get(row.name, ("waiting", 0))
            if state != before and (row.tries or "elsewhere" in (row.status, before[0])):
                self.say("  ".join(filter(None, row.cells())))
            self._shown[row.name] = state

    def _drawn(self, rows: Sequence[Row]) -> RenderableType:
        grid = Table.grid(padding=(0, 2, 0, 0))
        for style in ("left", "left", "right", "left", "left"):
            grid.add_column(justify=style, no_wrap=True, overflow="ellipsis")
        at_work = [row for row in rows if row.status in _AT_WORK]
        room = max(self._console.height - 4, 1)
        for row in at_work[:room]:
            grid.add_row(*row.cells())
        more = [f"and {len(at_work) - room} more"] if len(at_work) > room else []
        lines = [*more, totals(rows) + self._forecast(rows)]
        return Group(grid, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))


class Forecast:
    """How much of all frames has been played, and how long the rest takes at the speed since the first question.

    Runs that have been given up play no more, and count for nothing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: tuple[float, dict[str, int]] | None = None

    def __call__(self, rows: Sequence[Row]) -> str:
        """In words, behind a line of totals."""
        rows = [row for row in rows if row.status not in _GIVEN_UP]
        frames = {row.name: row.target if row.status == "finished" else min(row.frame, row.target) for row in rows}
        now = self._clock()
        began, first = self._first = self._first or (now, frames)
        total, played = sum(row.target for row in rows), sum(frames.values())
        before = sum(first.get(name, 0) for name in frames)
        words = f"; {100 * played / max(total, 1):.0f}% of all frames"
        if played in (before, total):
            return words
        left = (total - played) * (now - began) / (played - before)
        return f"{words}, about {duration(max(left, _MINUTE) / _HOUR)} left"


def totals(rows: Sequence[Row]) -> str:
    """``3 finished, 1 running of 4 runs``."""
    counts = collections.Counter(row.status for row in rows)
    return f"{', '.join(f'{count} {status}' for status, count in sorted(counts.items()))} of {len(rows)} runs"


def read_progress(folder: Path) -> tuple[int, float | None]:
    """The frame that a run logged last, and its last evaluation; 0 and None before there are any.

    A damaged line counts for nothing: the table is to look at, and runs do not depend on it.
    """
    frame, score = 0, None
    for line in _whole_lines(folder / run_names.METRICS):
        with contextlib.suppress(ValueError, LookupError, TypeError, OverflowError):
            frame = int(json.loads(line)["frame"])
    for line in _whole_lines(folder / run_names.EVALUATIONS):
        with contextlib.suppress(ValueError, LookupError):  # the heading is no number either
            score = float(next(csv.reader([line]))[COLUMNS.index("episode_reward")])
    return frame, score


def last_words(log: Path, start: int) -> str:
    """Why a run ended, by its console from the byte ``start`` on: its last error line, else its last line."""
    said = [line.strip() for line in _whole_lines(log, start) if line.strip()]
    return next(
        (line for line in reversed(said) if line.startswith("error: ")), said[-1] if said else "it said nothing"
    )


def _whole_lines(path: Path, start: int = 0) -> list[str]:
    """The file's last lines from ``start`` on, without one that is cut off by us or by a kill; none unread."""
    try:
        with path.open("rb") as stream:
            tail = max(start, stream.seek(0, 2) - TAIL_BYTES)
            stream.seek(tail)
            lines = stream.read().decode(errors="replace").splitlines(keepends=True)
    except OSError:
        return []
    return [line.rstrip("\n") for line in lines[1 if tail > start else 0 :] if line.endswith("\n")]
