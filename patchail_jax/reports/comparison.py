"""The same frames under the maps of several runs: the rows of the paper's Figures 5 and 11."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from patchail_jax.outputs.overlay import limit_of, overlay
from patchail_jax.reports.published import method_label
from patchail_jax.reports.style import INK, MUTED, STYLE, write_figure

_COLUMNS = 8


class ExplainedRun(NamedTuple):
    """One run's ``maps [T,H,W]`` of an episode, ``frames [T+1,H,W,3] uint8``, which all runs of a task share."""

    method: str
    task: str
    frames: np.ndarray
    maps: np.ndarray


def comparison(stem: Path, runs: Sequence[ExplainedRun], *, label: str) -> list[Path]:
    """Draws frames in the first row, then a row for each method; tasks stand side by side.

    Each run has its own scale, symmetric about 0: what one discriminator calls high means nothing to another.
    Writes ``stem.png`` and ``stem.pdf``; returns both paths.
    """
    tasks = list(dict.fromkeys(run.task for run in runs))
    by_task = {task: [run for run in runs if run.task == task] for task in tasks}
    rows = 1 + max(map(len, by_task.values()))
    each = max(_COLUMNS // len(tasks), 1)
    columns = each * len(tasks)
    one_naming = len({tuple(run.method for run in group) for group in by_task.values()}) == 1
    with plt.rc_context({**STYLE, "axes.grid": False}):
        size = (1.15 * columns + 0.5, 1.15 * rows + 0.75)
        figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
        for axis in axes.ravel():
            axis.set_axis_off()
        for place, (task, group) in enumerate(by_task.items()):
            times = np.linspace(0, len(group[0].maps) - 1, each + 2).round().astype(int)[1:-1]  # starts are all alike
            first = place * each
            axes[0, first].set_title(task.replace("_", " "), loc="left", weight="bold", fontsize=8)
            for column, time in enumerate(times):
                axes[0, first + column].imshow(group[0].frames[time], interpolation="nearest")
                for row, run in enumerate(group, start=1):
                    shown = overlay(run.frames[time][None], run.maps[time][None], limit=limit_of([run.maps]))[0]
                    axes[row, first + column].imshow(shown, interpolation="nearest")
            for row, run in enumerate(group, start=1):
                if place == 0 or not one_naming:
                    axes[row, first].set_title(method_label(run.method), loc="left", fontsize=7, color=INK)
        figure.supxlabel(f"{label}; each run on its own scale", fontsize=7, color=MUTED)
    return write_figure(figure, stem)
