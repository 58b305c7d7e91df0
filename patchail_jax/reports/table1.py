"""Table 1: mean and standard deviation over seeds at given frames, beside the paper's and as shares of the expert's."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchail_jax.errors import UserError
from patchail_jax.files.whole_file import write_text
from patchail_jax.reports import published
from patchail_jax.reports.runs import Run, incomplete_lines, share_of_expert
from patchail_jax.reports.seeds import by_name
from patchail_jax.reports.style import INK, MUTED, RULE, STYLE, write_figure
from patchail_jax.reports.text import bullets, document, table, write_csv

PAPER_FRAMES = (500_000, 1_000_000)
CSV_COLUMNS = (
    "task", "method", "frame", "mean", "std", "seeds", "runs", "expert_return", "relative_to_expert",
    "paper_mean", "paper_std", "paper_relative_to_expert",
)  # fmt: skip


class Cell(NamedTuple):
    """One task, method and number of frames. ``scores [seeds]`` are of those of its ``runs`` runs that got there."""

    task: str
    method: str
    frame: int
    scores: np.ndarray
    runs: int
    expert_return: float | None
    paper: published.Score | None
    paper_expert: published.Score | None

    def relative(self) -> float | None:
        """The mean score as a share of the return of the run's own demonstrations."""
        return share_of_expert(float(self.scores.mean()), self.expert_return) if len(self.scores) else None

    def paper_relative(self) -> float | None:
        """The paper's mean score over the return of the paper's expert."""
        return self.paper.mean / self.paper_expert.mean if self.paper and self.paper_expert else None

    def text(self) -> str:
        """``654 ± 24``. One seed has no deviation. A dash means that no run has got there."""
        if not len(self.scores):
            return "-"
        return f"{self.scores.mean():.0f}" + (f" ± {self.scores.std():.0f}" if len(self.scores) > 1 else "")

    def remarks(self) -> list[str]:
        """A few words each: number of seeds and share of the expert's return; the paper's score and share."""
        words = [
            f"{len(self.scores)} of {self.runs} seeds" if len(self.scores) < self.runs else seeds_in_words(self.runs)
        ]
        relative, paper_relative = self.relative(), self.paper_relative()
        if relative is not None:
            words[0] += f", {relative:.0%} of expert"
        if self.paper is not None:
            share = "" if paper_relative is None else f", {paper_relative:.0%}"
            words.append(f"paper {self.paper.mean:.0f} ± {self.paper.std:.0f}{share}")
        return words


def seeds_in_words(count: int) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{count} seed" + ("s" if count != 1 else "")


def default_frames(runs: Sequence[Run]) -> list[int]:
    """Those of the paper's 500k and 1M frames that any run is meant to reach; else the shortest run's length.

    Of runs that play; the frames of others are no more than a name for their updates.
    """
    lengths = [run.num_frames for run in runs if run.plays] or [run.num_frames for run in runs]
    asked = [frame for frame in PAPER_FRAMES if max(lengths) >= frame]
    return asked or [min(lengths)]


def cells(runs: Sequence[Run], frames: Sequence[int]) -> list[Cell]:
    """A cell for every task, method and number of frames. A run that has not got there counts among ``runs``.

    ``UserError`` where runs of one task and method are no seeds of one config (``seeds.by_name``).
    """
    found = []
    paper = published.table1()
    groups = by_name(runs)
    for frame in frames:
        for (task, method), group in sorted(groups.items()):
            scores = [score for run in group if (score := run.at(frame)) is not None]
            experts = [run.expert_return for run in group if run.expert_return is not None]
            ours = published.method_label(method)
            found.append(
                Cell(
                    task,
                    method,
                    frame,
                    np.asarray(scores),
                    len(group),
                    float(np.mean(experts)) if experts else None,
                    paper.get((task, frame, ours)),
                    paper.get((task, frame, published.EXPERT)),
                )
            )
    return found


def write_table1(runs: Sequence[Run], output: Path, *, frames: Sequence[int] | None) -> list[Path]:
    """Writes ``table1.csv``, ``.md``, ``.png`` and ``.pdf``; returns their paths. ``UserError`` as of ``cells``."""
    found = cells(runs, frames or default_frames(runs))
    if not any(len(cell.scores) for cell in found) and frames:
        near = ", ".join(f"{frame:,}" for frame in frames)
        raise UserError(f"no run has an evaluation near {near} frames: choose others with --frames")
    drawn = _figure(found, incomplete_lines(runs))
    output.mkdir(parents=True, exist_ok=True)
    written = [output / "table1.csv", output / "table1.md"]
    write_csv(written[0], CSV_COLUMNS, map(_csv_row, found))
    write_text(written[1], _markdown(found, incomplete_lines(runs)))
    return written + write_figure(drawn, output / "table1")


def _csv_row(cell: Cell) -> list[Any]:
    seeds = len(cell.scores)
    paper = cell.paper or (None, None)
    return [
        cell.task, cell.method, cell.frame, float(cell.scores.mean()) if seeds else None,
        float(cell.scores.std()) if seeds > 1 else None, seeds, cell.runs, cell.expert_return, cell.relative(),
        *paper, cell.paper_relative(),
    ]  # fmt: skip


def _grid(found: Sequence[Cell]) -> tuple[list[int], list[str], list[str], dict[tuple[int, str, str], Cell]]:
    frames = sorted({cell.frame for cell in found})
    tasks = sorted({cell.task for cell in found})
    methods = sorted({cell.method for cell in found}, key=published.method_order)
    return frames, tasks, methods, {(cell.frame, cell.task, cell.method): cell for cell in found}


_FOOTNOTE = (
    "Mean ± standard deviation over seeds, by the task's own reward, at the evaluation nearest to the frames; relative "
    "to each source's own expert."
)


def _markdown(found: Sequence[Cell], incomplete: Sequence[str]) -> str:
    frames, tasks, methods, by_place = _grid(found)
    parts = ["# Table 1\n", f"{_FOOTNOTE}\n"]
    for frame in frames:
        rows = []
        for task in tasks:
            placed = [by_place.get((frame, task, method)) for method in methods]
            told = ["" if cell is None else "<br>".join([f"**{cell.text()}**", *cell.remarks()]) for cell in placed]
            rows.append((task, *told))
        parts.append(f"## {frame:,} frames\n\n{table(('task', *map(published.method_label, methods)), rows)}")
    return document(*parts, bullets("Incomplete runs", incomplete))


def _figure(found: Sequence[Cell], incomplete: Sequence[str]) -> Figure:
    frames, tasks, methods, by_place = _grid(found)
    first, column, line = 1.35, 1.6, 0.5  # inches
    rows = len(frames) * (len(tasks) + 1)
    width = first + column * len(methods) + 0.2
    letters = int((width - 0.3) / 0.045)  # of a note, in a line
    notes = [part for note in (_FOOTNOTE, *incomplete) for part in textwrap.wrap(note, letters)]
    height = line * rows + 0.17 * len(notes) + 0.35
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(width, height))
        y = height - 0.1

        def write(x: float, y: float, text: str, **look: Any) -> None:
            figure.text(x / width, y / height, text, va="center", **{"color": INK, **look})

        def rule(y: float, weight: float, colour: str = INK) -> None:
            across = ([0.1 / width, 1 - 0.1 / width], [y / height] * 2)
            figure.add_artist(Line2D(*across, color=colour, linewidth=weight))

        for frame in frames:
            rule(y, 1.0)
            y -= line / 2
            write(0.15, y, f"{frame:,} frames", weight="bold")
            for number, method in enumerate(methods):
                x = first + column * (number + 0.5)
                write(x, y, published.method_label(method), weight="bold", ha="center")
            y -= line / 2
            rule(y, 0.6)
            for task in tasks:
                y -= line / 2
                write(0.15, y, task)
                for number, method in enumerate(methods):
                    cell, x = by_place.get((frame, task, method)), first + column * (number + 0.5)
                    if cell is None:
                        continue
                    remarks = cell.remarks()
                    top = y + (0.15 + 0.115 * len(remarks)) / 2
                    write(x, top - 0.075, cell.text(), ha="center", size=9, weight="bold")
                    for place, words in enumerate(remarks):
                        write(x, top - 0.15 - 0.115 * (place + 0.5), words, ha="center", size=6, color=MUTED)
                y -= line / 2
                rule(y, 0.4, RULE)
        for words in notes:
            y -= 0.17
            write(0.15, y, words, size=6, color=MUTED)
        return figure
