"""The pictures of a single run: where the reward comes from, and how the return grew."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = "RdBu_r"  # red is expert-like, blue is not, as in the paper's Figure 1
_COLUMNS = 8
_PERCENTILE = 99.0  # of |reward|: a few extreme patches would wash out all others


class Row(NamedTuple):
    """One episode: ``frames [T,H,W,3] uint8`` and ``maps [T,H,W]``, the reward of each step."""

    title: str
    frames: np.ndarray
    maps: np.ndarray


def patch_rewards(path: Path, rows: Sequence[Row]) -> None:
    """Frames of each episode, and the same frames under their reward maps; one scale for all, symmetric about 0."""
    limit = float(np.percentile(np.abs(np.concatenate([row.maps.ravel() for row in rows])), _PERCENTILE)) or 1.0
    figure, axes = plt.subplots(
        2 * len(rows), _COLUMNS, figsize=(1.25 * _COLUMNS + 1.2, 2.6 * len(rows) + 0.4), layout="constrained"
    )
    image: Any = None
    for number, row in enumerate(rows):
        times = np.linspace(0, len(row.maps) - 1, _COLUMNS).round().astype(int)
        for column, time in enumerate(times):
            plain, overlaid = axes[2 * number, column], axes[2 * number + 1, column]
            plain.imshow(row.frames[time])
            plain.set_title(f"step {time}", fontsize=7)
            overlaid.imshow(row.frames[time].mean(axis=-1), cmap="gray", vmin=0, vmax=255)
            image = overlaid.imshow(row.maps[time], cmap=COLOURS, vmin=-limit, vmax=limit, alpha=0.6)
        axes[2 * number, 0].set_ylabel(row.title, fontsize=8)
        axes[2 * number + 1, 0].set_ylabel("patch rewards", fontsize=8)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01)
    bar.set_label("patch reward: expert-like is high", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    _save(figure, path)


def learning_curve(path: Path, eval_csv: Path, *, expert_return: float | None) -> None:
    """The evaluations in ``eval_csv`` over frames, and the expert's mean return as a line."""
    with eval_csv.open() as stream:
        rows = list(csv.DictReader(stream))
    figure, axis = plt.subplots(figsize=(5.5, 3.5), layout="constrained")
    frames = [int(row["frame"]) for row in rows]
    axis.plot(frames, [float(row["episode_reward"]) for row in rows], marker="o", markersize=3, label=rows[0]["agent"])
    if expert_return is not None:
        axis.axhline(expert_return, color="black", linestyle="--", linewidth=1, label="expert")
        axis.axhline(expert_return / 2, color="grey", linestyle=":", linewidth=1, label="half of the expert")
    axis.set_xlabel("frames")
    axis.set_ylabel("return (the task's own reward)")
    axis.set_title(f"{rows[0]['task']}, seed {rows[0]['seed']}", fontsize=10)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
