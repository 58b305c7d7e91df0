"""The episodes that a LeRobot dataset lists in ``meta/``: which are taken, and whether the list agrees with itself."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from patchail_jax.errors import UserError

_SLACK = 1.05  # of a rate: times are rounded, and some are measured


class ListedEpisode(NamedTuple):
    """Its number, its table, its film (None: pictures are in the table) from ``start`` seconds on, and its rows.

    ``length`` is how many rows ``meta/`` says that it has, or None.
    """

    number: int
    table: Path
    film: Path | None
    start: float
    length: int | None = None


def choose(
    folder: Path, info: dict[str, Any], held: Sequence[ListedEpisode], wanted: Sequence[int] | None
) -> list[ListedEpisode]:
    """Those of the ``wanted`` numbers, or all of ``held``; UserError where the list contradicts itself or ``info``."""
    if not held:
        raise UserError(f"{folder}: lists no episodes in meta/")
    by_number: dict[int, ListedEpisode] = {}
    for episode in held:
        if by_number.setdefault(episode.number, episode) is not episode:
            raise UserError(f"{folder}: lists episode {episode.number} twice in meta/: download it again")
    if wanted is None:
        if (total := info.get("total_episodes", len(held))) != len(held):
            raise UserError(
                f"{folder}: lists {len(held)} episodes in meta/, and info.json says {total!r}: download it again, or "
                "choose with --episodes"
            )
        chosen = list(held)
    else:
        if missing := [number for number in wanted if number not in by_number]:
            raise UserError(f"{folder}: has no episode {missing[0]}; it has {held[0].number} to {held[-1].number}")
        chosen = [by_number[number] for number in dict.fromkeys(wanted)]
    for episode in chosen:
        if not math.isfinite(episode.start):
            raise UserError(f"{folder}: episode {episode.number} starts at {episode.start} s of its film, by meta/")
    _refuse_overlaps(folder, held, {episode.number for episode in chosen}, float(info["fps"]))
    return chosen


def refuse_other_rows(episode: ListedEpisode, frame_index: np.ndarray, timestamp: np.ndarray, *, fps: float) -> None:
    """UserError where the rows of an episode, in order, are not 0, 1, 2, ... of as many as it has, each with a time.

    Also where their usual distance in time is not that of ``fps`` rows a second.
    """
    count, name = len(frame_index), f"{episode.table}: episode {episode.number}"
    if episode.length not in (None, count) or not np.array_equal(frame_index, np.arange(count)):
        told = "" if episode.length is None else f" of {episode.length}"
        raise UserError(f"{name} has {count} rows{told}, frame_index {frame_index[0]} to {frame_index[-1]}: some are "
                        "missing or doubled; download it again, or choose others with --episodes")  # fmt: skip
    if not np.isfinite(timestamp).all():
        raise UserError(f"{name} has rows without a timestamp, such as row {np.isfinite(timestamp).argmin()}")
    apart = float(np.median(np.diff(timestamp))) if count > 1 else 1 / fps
    if not 1 / _SLACK <= apart * fps <= _SLACK:
        raise UserError(
            f"{name} has rows {apart:.4g} s apart by their timestamps, and info.json says fps {fps:g}: one of the two "
            "is wrong; correct it"
        )


def _refuse_overlaps(folder: Path, held: Sequence[ListedEpisode], chosen: set[int], fps: float) -> None:
    """UserError where one of ``chosen`` and another episode lie in one place of one film."""
    placed = [episode for episode in held if episode.film and episode.length and math.isfinite(episode.start)]
    for earlier, later in itertools.pairwise(sorted(placed, key=lambda episode: (str(episode.film), episode.start))):
        assert earlier.length is not None
        end = earlier.start + (earlier.length - 0.5) / fps
        if earlier.film == later.film and later.start < end and chosen & {earlier.number, later.number}:
            raise UserError(
                f"{folder}: by meta/ episode {earlier.number} lies at {earlier.start:.2f} to {end:.2f} s of a film "
                f"({earlier.length} frames, {fps:g} a second), and episode {later.number} starts at "
                f"{later.start:.2f} s: choose others with --episodes"
            )
