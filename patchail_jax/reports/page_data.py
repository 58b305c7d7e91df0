"""What the script of a run's page reads: its curves, its histograms and its newest episode, each checked when read."""

import base64
import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from patchail_jax.errors import UserError
from patchail_jax.files.json_objects import parsed
from patchail_jax.files.lines import whole_lines
from patchail_jax.files.npz import reading
from patchail_jax.maps.kinds import KINDS, meaning
from patchail_jax.outputs.overlay import colours, overlay
from patchail_jax.reports.runs import Run
from patchail_jax.storage import run_names
from patchail_jax.storage.run_config import flatten

STEPS = 125  # of the episode in the page, at most, evenly spread
POINTS = 600  # of a curve, at most
Record = TypeVar("Record")

_COLUMNS = 16  # pictures a row of a sprite


def page_data(run: Run) -> dict[str, Any]:
    """All of it; ``UserError`` names a file that is damaged, by its line if it has lines."""
    return {
        "expert": run.expert_return,
        "curves": _curves(run),
        "histograms": _histograms(run.path / run_names.HISTOGRAMS),
        "episode": _episode(run),
    }


def _lines(path: Path, read: Callable[[dict[str, Any]], Record]) -> list[Record]:
    """What ``read`` makes of the whole lines of a JSONL file; ``UserError`` names one of which it makes nothing."""
    found = []
    for number, line in enumerate(whole_lines(path), 1):
        try:
            found.append(read(parsed(line)))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise UserError(f"{path}, line {number}, is damaged: correct it, or remove the line") from error
    return found


def _whole(value: Any) -> int:
    """A number of frames, or of values; ``TypeError`` for what is none."""
    if type(value) is not int:
        raise TypeError
    return value


def _curves(run: Run) -> dict[str, list[list[float | None]]]:
    """Every scalar over frames, ``[[frame, value], ...]`` thinned to ``POINTS``. Evaluations' returns come first."""
    curves: dict[str, list[list[float | None]]] = {"evaluation/return": []}
    for frame, scalars in _lines(run.path / run_names.METRICS, _scalars):
        for name, value in scalars.items():
            curves.setdefault(name, []).append([frame, value])
    curves["evaluation/return"] = [[int(f), _short(r)] for f, r in zip(run.frames, run.returns, strict=True)]
    return {name: [points[at] for at in _spread(len(points), POINTS)] for name, points in curves.items() if points}


def _spread(count: int, most: int) -> list[int]:
    """``most`` places among ``count``, or all where there are fewer, evenly spread: the first and the last too."""
    found: list[int] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist()
    return found


def _scalars(line: dict[str, Any]) -> tuple[int, dict[str, float | None]]:
    """The frame of a line of ``metrics.jsonl``, and its numbers."""
    found = {
        name: None if value is None else _short(value)
        for name, value in line.items()
        if name not in ("kind", "frame", "update", "hour") and isinstance(value, int | float | None)
    }
    return _whole(line["frame"]), found


def _histograms(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The histograms of logits, in the order of their frames, by ``expert`` and ``agent``."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, one in _lines(path, _histogram):
        who, _, what = name.removeprefix("evaluation/").partition("_")
        if what == "logits":
            found.setdefault(who, []).append(one)
    # Both are shown side by side: a frame at which either is not finite is a gap in both.
    gaps = {one["frame"] for listed in found.values() for one in listed if None in one["range"]}
    return {who: [one for one in listed if one["frame"] not in gaps] for who, listed in found.items()}


def _histogram(line: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name of a line of ``histograms.jsonl``, and its frame, counts and range."""
    counts, edges = [_whole(count) for count in line["counts"]], [_short(edge) for edge in line["edges"]]
    if not isinstance(line["name"], str) or not counts:
        raise TypeError
    return line["name"], {"frame": _whole(line["frame"]), "counts": counts, "range": [edges[0], edges[-1]]}


def _episode(run: Run) -> dict[str, Any] | None:
    """The newest evaluation as sprites: one image of all frames, and one for each kind of map over them."""
    path = run.path / run_names.VIDEOS / run_names.LATEST_EPISODE
    if not path.exists():
        return None
    try:
        with reading(path) as archive:
            stored: dict[str, Any] = dict(archive)
        if not _is_episode(stored):
            raise UserError("it has other arrays")
    except UserError as error:
        raise UserError(
            f"{path} is not the episode of an evaluation: remove it, and the page is made without one ({error})"
        ) from error
    frames, forms = stored["frames"], [str(flatten(run.config).get("reward.form"))]
    count = len(stored.get("rewards", frames))
    steps = _spread(count, STEPS)
    sprites = {"frames": _sprite(frames[steps])}
    for kind in KINDS:
        if f"maps_{kind}" in stored and np.isfinite(stored[f"limit_{kind}"]):
            maps = np.nan_to_num(stored[f"maps_{kind}"][steps].astype(np.float32))
            sprites[kind] = _sprite(overlay(frames[steps], maps, limit=float(stored[f"limit_{kind}"])))
    return {
        "frame": int(stored["frame"]),
        "side": frames.shape[1],
        "columns": _COLUMNS,
        "steps": steps,
        "rewards": [_short(value) for value in stored["rewards"].tolist()] if "rewards" in stored else [],
        "kinds": {kind: meaning(kind, forms) for kind in KINDS if kind in sprites},
        "limits": {kind: _short(float(stored[f"limit_{kind}"])) for kind in KINDS if kind in sprites},
        "colours": colours(np.linspace(-1, 1, 9), limit=1.0).astype(int).tolist(),
        "sprites": sprites,
    }


def _is_episode(stored: Mapping[str, np.ndarray]) -> bool:
    """Whether these are the ``frames [N,S,S,3] uint8`` of an evaluation at ``frame``, with what they may have:
    ``rewards [T]`` of T of N steps, and maps of a kind ``[T,S,S]`` with the limit of their colours, above 0."""
    count, side = (*np.shape(stored.get("frames", 0)), 0, 0)[:2]
    steps = (*np.shape(stored.get("rewards", 0)), count)[0]
    form: dict[str, tuple[Any, tuple[int, ...]]] = {
        "frames": (np.uint8, (count, side, side, 3)),
        "frame": (np.integer, ()),
    }
    if "rewards" in stored:
        form["rewards"] = (np.floating, (steps,))
    for kind in KINDS:
        if f"maps_{kind}" in stored:
            form |= {f"maps_{kind}": (np.floating, (steps, side, side)), f"limit_{kind}": (np.floating, ())}
    for name, (kind_of_number, shape) in form.items():
        array = stored.get(name)
        if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind_of_number) or array.shape != shape:
            return False
        if name.startswith("limit_") and array <= 0:
            return False
    return 0 < steps <= count


def _sprite(pictures: np.ndarray) -> str:
    """A lossless data URI of ``[N,H,W,3] uint8`` side by side, ``_COLUMNS`` in a row."""
    count, side = pictures.shape[:2]
    rows = math.ceil(count / _COLUMNS)
    filled = np.zeros((rows * _COLUMNS, *pictures.shape[1:]), np.uint8)
    filled[:count] = pictures
    sheet = filled.reshape(rows, _COLUMNS, side, side, 3).swapaxes(1, 2).reshape(rows * side, _COLUMNS * side, 3)
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "WEBP", lossless=True, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _short(value: float) -> float | None:
    """Five digits: a screen shows no more. None, a gap, for what is not a finite number."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
