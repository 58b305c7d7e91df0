"""The runs of a sweep on the console: a table that is drawn over on a terminal, in a file only what changes."""

import collections
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

TAIL_BYTES = 4096  # holds the last lines of a run's metrics


class Row(NamedTuple):
    """One run: its name and state, how often it was started, its last logged frame and evaluation."""

    name: str
    status: str
    tries: int
    frame: int
    score: float | None

    def line(self, width: int) -> str:
        """The row in words, its name in ``width`` columns."""
        score = "" if self.score is None else f"  return {self.score:.1f}"
        again = "" if self.tries <= 1 else f"  start {self.tries}"
        return f"{self.name:{width}}  {self.status:8}  {self.frame:>9,} frames{score}{again}"


class Table:
    """Shows rows on ``stream``; only those that run or need a look, and a line of counts."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live = stream, stream.isatty()
        self._drawn = 0
        self._shown: dict[str, tuple[str, int]] = {}

    def say(self, line: str) -> None:
        """A line above the table."""
        self._erase()
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def show(self, rows: Sequence[Row]) -> None:
        """The rows as they are now."""
        width = max((len(row.name) for row in rows), default=0)
        if self._live:
            self._draw([row.line(width) for row in rows if row.status not in ("waiting", "finished")], rows)
            return
        for row in rows:
            state = row.status, row.tries
            if row.status != "waiting" and self._shown.get(row.name) != state:
                self._stream.write(f"{row.line(width)}\n")
            self._shown[row.name] = state
        self._stream.flush()

    def _draw(self, lines: list[str], rows: Sequence[Row]) -> None:
        counts = collections.Counter(row.status for row in rows)
        lines.append(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
        self._erase()
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._drawn = len(lines)

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")  # up to the table's first line, and clear what follows
        self._drawn = 0


def read_progress(folder: Path) -> tuple[int, float | None]:
    """The frame that a run logged last, and its last evaluation; 0 and None before there are any."""
    frame, score = 0, None
    for line in _whole_lines(folder / "metrics.jsonl"):
        frame = int(json.loads(line)["frame"])
    for line in _whole_lines(folder / "eval.csv"):
        if not line.startswith("agent,"):
            score = float(line.split(",")[4])
    return frame, score


def _whole_lines(path: Path) -> list[str]:
    """The file's last lines, without one that is cut off at its front by us or at its end by a kill."""
    try:
        with path.open("rb") as stream:
            start = max(0, stream.seek(0, 2) - TAIL_BYTES)
            stream.seek(start)
            lines = stream.read().decode().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [line.rstrip("\n") for line in lines[1 if start else 0 :] if line.endswith("\n")]
