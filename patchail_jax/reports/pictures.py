"""The pictures of a single run: where the reward comes from, and how the return grew."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchail_jax.maps.kinds import meaning
from patchail_jax.outputs.explaining_film import ExplainedEpisode
from patchail_jax.outputs.overlay import limit_of, overlay
from patchail_jax.reports.eval_csv import EvalCsv
from patchail_jax.reports.style import (
    HIGH,
    INK,
    LOW,
    MUTED,
    STYLE,
    colour_bar,
    from_zero,
    save,
    thousands,
    write_figure,
)

_COLUMNS = 8


def contact_sheet(stem: Path, rows: Sequence[ExplainedEpisode], *, label: str) -> list[Path]:
    """Draws some steps of each episode, all where it has few, under them their maps, and the rewards as a strip.

    All maps are signed and share one scale; ``label`` says what their colours mean. Writes ``stem.png`` and
    ``stem.pdf``; returns both paths.
    """
    return write_figure(_sheet(rows, label, strips=True), stem)


def patch_rewards(path: Path, rows: Sequence[ExplainedEpisode], *, form: str) -> None:
    """Writes the ``contact_sheet`` of patch rewards of ``form`` to ``path``, without strips."""
    save(_sheet(rows, meaning("patch_rewards", [form]), strips=False), path)


def _sheet(rows: Sequence[ExplainedEpisode], label: str, *, strips: bool) -> Figure:
    limit = limit_of([row.maps for row in rows])
    heights = ([1.0, 1.0, 0.5] if strips else [1.0, 1.0]) * len(rows)
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure = plt.figure(figsize=(1.2 * _COLUMNS + 1.1, 1.25 * sum(heights) + 0.35), layout="constrained")
        grid = figure.add_gridspec(len(heights), _COLUMNS, height_ratios=heights)
        line, shown, strip_axes = 0, [], []
        for row in rows:
            times = np.unique(np.linspace(0, len(row.maps) - 1, _COLUMNS).round().astype(int))
            pictures = row.frames[times], overlay(row.frames[times], row.maps[times], limit=limit)
            for column, time in enumerate(times):
                for offset, words in enumerate((row.title, "")):
                    axis = figure.add_subplot(grid[line + offset, column])
                    axis.imshow(pictures[offset][column], interpolation="nearest")
                    _bare(axis)
                    shown.append(axis)
                    if column == 0:
                        axis.set_ylabel(words, fontsize=9, weight="bold")
                    if offset == 0:
                        axis.set_title(f"step {time}", fontsize=7, color=MUTED)
            line += 2
            if strips:
                strip_axes.append(figure.add_subplot(grid[line, :]))
                _strip(strip_axes[-1], row.rewards, times)
                line += 1
        highest = max(float(np.abs(row.rewards).max()) for row in rows) or 1.0
        for axis in strip_axes:
            axis.set_ylim(-1.08 * highest, 1.08 * highest)
        colour_bar(figure, shown + strip_axes, limit, label)
    return figure


def _strip(axis: Axes, rewards: np.ndarray, times: np.ndarray) -> None:
    """Draws the aggregated reward of every step as a bar, with ticks where the pictures are."""
    edges = np.arange(len(rewards) + 1) - 0.5
    for sign, colour in ((1.0, HIGH), (-1.0, LOW)):
        part = np.maximum(sign * rewards, 0.0) * sign
        axis.stairs(part, edges, fill=True, color=colour, alpha=0.6, linewidth=0)
    axis.axhline(0.0, color=MUTED, linewidth=0.6)
    axis.vlines(times, 0.0, rewards[times], color=INK, linewidth=1.0)
    axis.plot(times, rewards[times], "o", color=INK, markersize=2.5, clip_on=False)
    axis.set_xlim(-0.5, len(rewards) - 0.5)
    axis.set_xticks(times)
    axis.tick_params(labelsize=6, length=2)
    axis.set_xlabel("step", fontsize=7, labelpad=1)
    axis.set_ylabel("reward", fontsize=7)


def _bare(axis: Axes) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def learning_curve(path: Path, found: EvalCsv, *, label: str, title: str, expert_return: float | None) -> None:
    """Draws evaluations over frames, and the expert's mean return as a line."""
    figure, axis = plt.subplots(figsize=(5.5, 3.5), layout="constrained")
    axis.plot(found.frames, found.returns, marker="o", markersize=3, label=label)
    if expert_return is not None:
        axis.axhline(expert_return, color="black", linestyle="--", linewidth=1, label="expert")
        if expert_return > 0:
            axis.axhline(expert_return / 2, color="grey", linestyle=":", linewidth=1, label="half of the expert")
    axis.set_xlabel("frames")
    axis.xaxis.set_major_formatter(thousands)
    axis.set_ylabel("return (the task's own reward)")
    axis.set_title(title, fontsize=10, parse_math=False)
    from_zero(axis)
    axis.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    save(figure, path)
