"""Frames under the maps of several runs: the rows of the paper's Figures 1, 5 and 11."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from patchail_jax.outputs.overlay import limit_of, overlay
from patchail_jax.reports.published import method_label
from patchail_jax.reports.style import INK, MUTED, STYLE, colour_bar, write_figure

_COLUMNS = 8


class ExplainedRun(NamedTuple):
    """One run's maps ``[T,H,W]`` of each episode, ``frames [T+1,H,W,3] uint8``, which all runs of a task share."""

    path: Path
    method: str
    task: str
    seed: int
    frame: int  # of its checkpoint
    episodes: dict[str, tuple[np.ndarray, np.ndarray]]  # name -> frames, maps

    @property
    def limit(self) -> float:
        """Where the colours of its maps end."""
        return limit_of([maps for _, maps in self.episodes.values()])


def comparison(stem: Path, runs: Sequence[ExplainedRun], *, label: str, played: str = "") -> list[Path]:
    """Draws each episode's frames, and below them a row for each run; tasks stand side by side.

    ``played`` names the episode that the first run of each task has played. Each run has its own scale, symmetric about
    0, for all its episodes: what one discriminator calls high means nothing to another. Writes ``stem.png`` and
    ``stem.pdf``; returns both paths.
    """
    by_task = {task: [run for run in runs if run.task == task] for task in dict.fromkeys(run.task for run in runs)}
    each, height = max(_COLUMNS // len(by_task), 1), 1 + max(map(len, by_task.values()))
    columns, rows = each * len(by_task), height * max(len(run.episodes) for run in runs)
    names = {task: names_of(group) for task, group in by_task.items()}
    one_naming = len(set(map(tuple, names.values()))) == 1
    with plt.rc_context({**STYLE, "axes.grid": False}):
        size = (1.15 * columns + 1.2, 1.15 * rows + 0.5)
        figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for axis in axes.ravel():
            axis.set_axis_off()
        for place, (task, group) in enumerate(by_task.items()):
            for block, name in enumerate(group[0].episodes):
                top, left = block * height, place * each
                whose = f" of {names[task][0]}" if name == played and len(group) > 1 else ""
                words = [task.replace("_", " ")] * (block == 0) + [f"{name}{whose}"]
                times = _times(len(group[0].episodes[name][1]), each)
                for column, time in enumerate(times):
                    axes[top, left + column].set_title(f"step {time}", fontsize=7, color=MUTED)
                _head(axes[top, left], ", ".join(words), lines=2, weight="bold", fontsize=8)
                for row, cells in enumerate(_rows(group, name, times)):
                    for column, picture in enumerate(cells):
                        axes[top + row, left + column].imshow(picture, interpolation="nearest")
                    if row and (place == 0 or not one_naming):
                        _head(axes[top + row, left], names[task][row - 1], lines=1, fontsize=7, color=INK)
        colour_bar(figure, axes.ravel().tolist(), 1.0, f"{label}\n(1 is the end of each run's own scale)")
    return write_figure(figure, stem)


def _head(axis: Axes, words: str, *, lines: int, fontsize: float, **look: Any) -> None:
    """Writes ``words`` so many lines above ``axis``, from its left edge on. The layout leaves room for their height
    alone: where they are wider than two pictures, it would move the pictures apart."""
    axis.set_title(" " + "\n" * (lines - 1), loc="left", fontsize=fontsize)
    pad, line = mpl.rcParams["axes.titlepad"], 1.2 * fontsize  # points
    axis.annotate(
        words, (0, 1), xycoords="axes fraction", xytext=(0, pad + line * (lines - 1)), textcoords="offset points",
        fontsize=fontsize, annotation_clip=False, **look,
    ).set_in_layout(False)  # fmt: skip


def names_of(group: Sequence[ExplainedRun]) -> list[str]:
    """A name for each run of a task: its method, what it takes to tell it from others, and its checkpoint's frame.

    That is the seed where a method is there twice, and where a seed is too, the part in which the runs' paths differ.
    """
    names = [method_label(run.method) for run in group]
    above = os.path.commonpath([run.path.absolute() for run in group])
    for words in (
        [f"seed {run.seed}" for run in group],
        [os.path.relpath(run.path.absolute(), above) for run in group],
    ):
        names = [f"{name}, {word}" if names.count(name) > 1 else name for name, word in zip(names, words, strict=True)]
    return [f"{name}, {run.frame:,} frames" for run, name in zip(group, names, strict=True)]


def _times(steps: int, most: int) -> np.ndarray:
    """``most`` steps of an episode, or all where it has fewer; not the first and the last: starts are all alike."""
    return np.unique(np.linspace(0, steps - 1, most + 2).round().astype(int)[1:-1])


def _rows(group: Sequence[ExplainedRun], name: str, times: np.ndarray) -> Iterator[np.ndarray]:
    """An episode's frames at ``times``, ``[N,H,W,3]``, then the same under the maps of each run."""
    frames, _ = group[0].episodes[name]
    yield frames[times]
    for run in group:
        yield overlay(frames[times], run.episodes[name][1][times], limit=run.limit)
