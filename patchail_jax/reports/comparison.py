"""Frames under the maps of several runs: the rows of the paper's Figures 1, 5 and 11."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from patchail_jax.outputs.overlay import limit_of, overlay
from patchail_jax.reports.published import method_label
from patchail_jax.reports.style import INK, MUTED, STYLE, write_figure

_COLUMNS = 8


class ExplainedRun(NamedTuple):
    """One run's maps ``[T,H,W]`` of each episode, ``frames [T+1,H,W,3] uint8``, which all runs of a task share."""

    method: str
    task: str
    episodes: dict[str, tuple[np.ndarray, np.ndarray]]  # name -> frames, maps

    @property
    def limit(self) -> float:
        """Where the colours of its maps end."""
        return limit_of([maps for _, maps in self.episodes.values()])


def comparison(stem: Path, runs: Sequence[ExplainedRun], *, label: str) -> list[Path]:
    """Draws each episode's frames, and below them a row for each method; tasks stand side by side.

    Each run has its own scale, symmetric about 0, for all its episodes: what one discriminator calls high means
    nothing to another. Writes ``stem.png`` and ``stem.pdf``; returns both paths.
    """
    by_task = {task: [run for run in runs if run.task == task] for task in dict.fromkeys(run.task for run in runs)}
    each, height = max(_COLUMNS // len(by_task), 1), 1 + max(map(len, by_task.values()))
    columns, rows = each * len(by_task), height * max(len(run.episodes) for run in runs)
    one_naming = len({tuple(run.method for run in group) for group in by_task.values()}) == 1
    with plt.rc_context({**STYLE, "axes.grid": False}):
        size = (1.15 * columns + 0.5, 1.15 * rows + 0.75)
        figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for axis in axes.ravel():
            axis.set_axis_off()
        for place, (task, group) in enumerate(by_task.items()):
            for block, name in enumerate(group[0].episodes):
                top = axes[block * height, place * each]
                words = [task.replace("_", " ")] * (block == 0) + [name] * (len(group[0].episodes) > 1)
                top.set_title(", ".join(words), loc="left", weight="bold", fontsize=8)
                for row, cells in enumerate(_rows(group, name, each)):
                    for column, picture in enumerate(cells):
                        axes[block * height + row, place * each + column].imshow(picture, interpolation="nearest")
                    if row and (place == 0 or not one_naming):
                        method = method_label(group[row - 1].method)
                        axis = axes[block * height + row, place * each]
                        axis.set_title(method, loc="left", fontsize=7, color=INK)
        figure.supxlabel(f"{label}; each run on its own scale", fontsize=7, color=MUTED)
    return write_figure(figure, stem)


def _rows(group: Sequence[ExplainedRun], name: str, each: int) -> Iterator[np.ndarray]:
    """``each`` frames of an episode ``[each,H,W,3]``, then the same under the maps of each run."""
    frames, maps = group[0].episodes[name]
    times = np.linspace(0, len(maps) - 1, each + 2).round().astype(int)[1:-1]  # starts are all alike
    yield frames[times]
    for run in group:
        yield overlay(frames[times], run.episodes[name][1][times], limit=run.limit)
