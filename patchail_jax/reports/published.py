"""The paper's Table 1 and DrQ-v2's published curves, from ``third_party``."""

import csv
import functools
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

import numpy as np

# Names of methods in configs, and in the paper's tables and figures.
METHOD_LABELS = {
    "patchail": "PatchAIL",
    "patchail_w": "PatchAIL-W",
    "patchail_b": "PatchAIL-B",
    "shared_encoder_ail": "Shared-Encoder AIL",
    "independent_encoder_ail": "Independent-Encoder AIL",
    "laifo": "LAIfO",
    "bc": "BC",
    "bco": "BCO",
    "rot": "ROT",
    "drqv2": "DrQ-v2",
    "drqv2_features": "DrQ-v2 from features",
}
EXPERT = "Expert"


class Score(NamedTuple):
    """Mean and standard deviation over the paper's 5 seeds."""

    mean: float
    std: float


def method_label(method: str) -> str:
    """The paper's name of a method; its own where the paper has none."""
    return METHOD_LABELS.get(method, method)


def method_order(name: str) -> tuple[int, str]:
    """A key that sorts methods as ``METHOD_LABELS`` lists them, and what else there is by name after them."""
    names = list(METHOD_LABELS)
    return (names.index(name) if name in names else len(names), name)


@functools.cache
def table1() -> dict[tuple[str, int, str], Score]:
    """Table 1 by (task, frames, label), the expert's row too."""
    return {
        (row["task"], int(row["frames"]), label): Score(float(row[label]), float(row[f"{label}_std"]))
        for row in _rows("paper_table1.csv")
        for label in row
        if f"{label}_std" in row
    }


@functools.cache
def drqv2_curve(task: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Frames and mean returns of DrQ-v2 with the task's reward, as published; None for another task."""
    rows = [row for row in _rows("drqv2_published_curves.csv") if row["task"] == task]
    if not rows:
        return None
    return np.asarray([int(r["frame"]) for r in rows]), np.asarray([float(r["episode_reward_mean"]) for r in rows])


def _rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of a file of ``third_party``, which is a part of the installed package too."""
    with (resources.files("patchail_jax") / "third_party" / name).open() as stream:
        yield from csv.DictReader(stream)
