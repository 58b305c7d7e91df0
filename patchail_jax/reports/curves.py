"""Learning curves: mean and band over seeds, one panel for each task.

These are the paper's Figures 4, 8 and 9, and with ``by`` its Figures 6, 7 and 10.
"""

import collections
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchail_jax.files.whole_file import write_text
from patchail_jax.reports import published
from patchail_jax.reports.runs import FINISHED, RUNNING, STOPPED, Run, incomplete_lines
from patchail_jax.reports.seeds import by_name
from patchail_jax.reports.statistics import on_grid
from patchail_jax.reports.style import INK, MUTED, STYLE, colours, from_zero, legend_below, thousands, write_figure
from patchail_jax.reports.table1 import seeds_in_words
from patchail_jax.reports.text import bullets, document, table, write_csv

CSV_COLUMNS = ("task", "curve", "frame", "mean", "std", "seeds")
_HEADINGS = ("task", "curve", "last frame", "seeds there", "mean there", "best mean of all seeds")
_COLUMNS = 4  # as in the paper
_BROKEN = "not a number"
_MARKS = {RUNNING: ">", STOPPED: "x", _BROKEN: "s"}  # where the curve of a run ends that is not complete


class Curve(NamedTuple):
    """The runs of one task, method and value of ``by``. Arrays are ``[N]``; ``seeds`` counts the runs in each mean.

    ``std`` is NaN where that is one: one seed has no deviation.
    """

    task: str
    name: str
    runs: list[Run]
    frames: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    seeds: np.ndarray

    def label(self) -> str:
        """The name, the number of seeds, and how many are still running, were stopped, or are no numbers at the end."""
        words = [seeds_in_words(len(self.runs))]
        counted = collections.Counter(mark for run in self.runs if (mark := _mark(run)))
        words += [f"{counted[mark]} {mark}" for mark in _MARKS if counted[mark]]
        return f"{published.method_label(self.name)} ({', '.join(words)})"


def curves(runs: Sequence[Run], *, by: str = "") -> list[Curve]:
    """One curve for each task, method and value of the config's field ``by``, over its seeds.

    ``UserError`` for an unknown field, and where the runs of a curve are no seeds of one config (``seeds.by_name``).
    """
    return [_curve(task, name, group) for (task, name), group in by_name(runs, by=by).items()]


def _mark(run: Run) -> str:
    """Why the run is not complete, as in ``_MARKS``; "" where it is."""
    if run.broken_at is not None:
        return _BROKEN
    return "" if run.status == FINISHED else run.status


def _curve(task: str, name: str, runs: list[Run]) -> Curve:
    evaluated = [run for run in runs if len(run.frames)]
    if not evaluated:
        nothing = np.zeros(0)
        return Curve(task, name, runs, nothing, nothing, nothing, nothing)
    grid = np.unique(np.concatenate([run.frames for run in evaluated]))
    values = np.stack([on_grid(run.frames, run.returns, grid) for run in evaluated])
    seeds = np.isfinite(values).sum(0)
    std = np.where(seeds > 1, np.nanstd(values, 0), np.nan)
    return Curve(task, name, runs, grid, np.nanmean(values, 0), std, seeds)


def write_curves(runs: Sequence[Run], output: Path, *, by: str = "") -> list[Path]:
    """Writes ``curves.csv``, ``.md``, ``.png`` and ``.pdf``; returns their paths. ``UserError`` as of ``curves``."""
    found = curves(runs, by=by)
    drawn = figure(found)
    output.mkdir(parents=True, exist_ok=True)
    written = [output / "curves.csv", output / "curves.md"]
    write_csv(written[0], CSV_COLUMNS, itertools.chain.from_iterable(map(_csv_rows, found)))
    write_text(written[1], _markdown(found, runs))
    return written + write_figure(drawn, output / "curves")


def _csv_rows(curve: Curve) -> Iterator[tuple[Any, ...]]:
    deviations = [None if math.isnan(std) else std for std in curve.std.tolist()]
    columns = (curve.frames.tolist(), curve.mean.tolist(), deviations, curve.seeds.tolist())
    return ((curve.task, curve.name, *row) for row in zip(*columns, strict=True))


def _markdown(found: Sequence[Curve], runs: Sequence[Run]) -> str:
    rows = []
    for curve in found:
        last = ("-",) * 4
        if len(curve.frames):
            whole = curve.mean[curve.seeds == len(curve.runs)]  # without a weak seed, a mean is no better
            best = f"{whole.max():.1f}" if len(whole) else "-"
            last = (f"{int(curve.frames[-1]):,}", str(curve.seeds[-1]), f"{curve.mean[-1]:.1f}", best)
        rows.append((curve.task, curve.label(), *last))
    parts = ["# Learning curves\n", table(_HEADINGS, rows)]
    return document(*parts, bullets("Incomplete runs", incomplete_lines(runs)))


def figure(found: Sequence[Curve]) -> Figure:
    """One panel for each task, with the expert's return and, where the curves come that far, the paper's scores."""
    tasks = list(dict.fromkeys(curve.task for curve in found))
    names = sorted({curve.name for curve in found}, key=published.method_order)
    chosen = colours(names)
    labels = {name: {curve.label() for curve in found if curve.name == name} for name in names}
    columns = min(len(tasks), _COLUMNS)
    rows = math.ceil(len(tasks) / columns)
    with plt.rc_context(STYLE):
        size = (2.6 * columns + 0.3, 2.15 * rows + 0.6) if len(tasks) > 1 else (5.5, 3.9)
        drawn, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        handles: dict[str, Line2D] = {}
        for task, axis in zip(tasks, axes.ravel(), strict=False):
            for curve in sorted((c for c in found if c.task == task), key=lambda c: published.method_order(c.name)):
                line = _draw(axis, curve, chosen[curve.name])
                shown = curve.label() if len(labels[curve.name]) == 1 else published.method_label(curve.name)
                handles.setdefault(shown, line)
            here = [curve for curve in found if curve.task == task]
            handles.update(_draw_references(axis, here))
            axis.set_title(_title(task, [run for curve in here for run in curve.runs]))
            from_zero(axis)
            axis.xaxis.set_major_formatter(thousands)
            axis.set_xlabel("frames")
        for axis in axes[:, 0]:
            axis.set_ylabel("return")
        for axis in axes.ravel()[len(tasks) :]:
            axis.set_axis_off()
        handles.update(_mark_handles([run for curve in found for run in curve.runs]))
        legend_below(drawn, handles, columns=4)
    return drawn


def _draw(axis: Axes, curve: Curve, colour: str) -> Line2D:
    """Draws mean and band. The mean is dotted where a seed is missing; a mark shows where a run is not complete."""
    whole = curve.seeds == len(curve.runs)
    look: Any = {"color": colour, "marker": "o" if len(curve.frames) == 1 else "", "markersize": 3}
    (line,) = axis.plot(curve.frames, np.where(whole, curve.mean, np.nan), **look)
    if not whole.all():
        axis.plot(curve.frames, curve.mean, linestyle=":", zorder=1.9, **look)  # below the line, which covers it
    if len(curve.runs) > 1:
        low, high = curve.mean - curve.std, curve.mean + curve.std
        axis.fill_between(curve.frames, low, high, color=colour, alpha=0.15, linewidth=0)
    for run in curve.runs:
        if (mark := _mark(run)) and len(run.frames):
            axis.plot(run.frames[-1], run.returns[-1], marker=_MARKS[mark], color=colour, markersize=5, clip_on=False)
    return line


def _title(task: str, runs: Sequence[Run]) -> str:
    """The task, and how many of its runs are complete where not all are."""
    complete = sum(run.is_complete for run in runs)
    words = task.replace("_", " ")
    return words if complete == len(runs) else f"{words} ({complete} of {len(runs)} runs complete)"


def _mark_handles(runs: Sequence[Run]) -> dict[str, Line2D]:
    """What the marks at the ends of incomplete runs say, by label."""
    there = {_mark(run) for run in runs if len(run.frames)}
    return {
        mark: Line2D([], [], marker=marker, linestyle="", color=MUTED, markersize=5)
        for mark, marker in _MARKS.items()
        if mark in there
    }


def _draw_references(axis: Axes, found: Sequence[Curve]) -> dict[str, Line2D]:
    """Draws the expert's return, and the paper's scores where the curves come that far; returns handles by label."""
    handles: dict[str, Line2D] = {}
    experts = [run.expert_return for curve in found for run in curve.runs if run.expert_return is not None]
    if experts:
        handles["expert"] = axis.axhline(float(np.mean(experts)), color=INK, linestyle="--", linewidth=1)
    last = max((curve.frames[-1] for curve in found if len(curve.frames)), default=0)
    for curve in found:
        label = published.method_label(curve.name)
        points = [
            (frame, score.mean)
            for (task, frame, name), score in sorted(published.table1().items())
            if (task, name) == (curve.task, label) and frame <= last
        ]
        if points:
            colour = colours([curve.name])[curve.name]
            axis.plot(*zip(*points, strict=True), "D", color=colour, markerfacecolor="white", markersize=4.5, zorder=3)
            handles["paper, Table 1"] = Line2D(
                [], [], marker="D", linestyle="", color=MUTED, markerfacecolor="white", markersize=4.5
            )
        reference = published.drqv2_curve(curve.task) if curve.name == "drqv2" else None
        if reference is not None:
            near = reference[0] <= last
            (line,) = axis.plot(reference[0][near], reference[1][near], color=MUTED, linewidth=1)
            handles["DrQ-v2, published"] = line
    return handles
