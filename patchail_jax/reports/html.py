"""A run as one page: an HTML file that opens from disk and needs no network."""

import base64
import html
import importlib.resources
import io
import json
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from patchail_jax.errors import UserError
from patchail_jax.files.lines import whole_lines
from patchail_jax.files.npz import reading
from patchail_jax.maps.kinds import KINDS
from patchail_jax.outputs.overlay import colours, overlay
from patchail_jax.reports.published import method_label
from patchail_jax.reports.runs import Run, share_of_expert
from patchail_jax.storage.run_config import flatten

STEPS = 125  # of the episode in the page, at most, evenly spread
POINTS = 600  # of a curve, at most
_COLUMNS = 16  # pictures a row of a sprite
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_RUN = re.compile(r'<meta name="run" content="([^"]*)">')


def write_pages(runs: Sequence[Run], output: Path) -> list[Path]:
    """Writes a page for each run, as ``write_html``; where runs share a name, what their folders differ in is added.

    ``UserError``, before any page is written, where two names are equal still, or where ``output`` has another run's
    page of that name.
    """
    plain = [_page_name(run) for run in runs]
    names: list[str] = []
    for run, name in zip(runs, plain, strict=True):
        if plain.count(name) > 1:
            above = os.path.commonpath([one.path for one, its in zip(runs, plain, strict=True) if its == name])
            name = "_".join([name, *run.path.relative_to(above).parts])
        if name in names:
            other = runs[names.index(name)]
            raise UserError(f"{other.path} and {run.path} would both become {output / name}.html: name one of them")
        _refuse_other_page(output / f"{name}.html", run)
        names.append(name)
    return [write_html(run, output, name=name) for run, name in zip(runs, names, strict=True)]


def write_html(run: Run, output: Path, *, name: str = "") -> Path:
    """Writes a page of what the run has left so far, ``<task>_<method>_<seed>.html`` unless ``name`` is given.

    ``UserError`` for a damaged line of its files.
    """
    path = output / f"{name or _page_name(run)}.html"
    page = _filled(
        {
            "run": _address(run),
            "title": html.escape(f"{run.task}, {method_label(run.method)}, seed {run.seed}"),
            "task": html.escape(run.task.replace("_", " ")),
            "method": html.escape(f"{method_label(run.method)}, seed {run.seed}"),
            "status": html.escape(run.status),
            "state": html.escape(run.state()),
            "tiles": _tiles(run),
            "config": _table(flatten(run.config)),
            "versions": _table(_json(run.path / "versions.json")),
            "data": _script(_data(run)),
        }
    )
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _refuse_other_page(path: Path, run: Run) -> None:
    """``UserError`` where ``path`` is the page of another run: of the same task, method and seed in another folder."""
    found = _RUN.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
    if found and found[1] != _address(run):
        raise UserError(f"{path} is the page of {html.unescape(found[1])}, not of {run.path}: give another --output")


def _address(run: Run) -> str:
    return html.escape(str(run.path.absolute()))


def _page_name(run: Run) -> str:
    return f"{run.task}_{run.method}_{run.seed}".replace("/", "_")


def _filled(values: dict[str, str]) -> str:
    """The template with its places filled in one pass, so that text in a value is never taken for a place."""
    template = (importlib.resources.files(__package__) / "page.html").read_text(encoding="utf-8")
    return _PLACE.sub(lambda place: values[place[1]], template)


def _script(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _tiles(run: Run) -> str:
    """The few numbers that matter, as a description list."""
    tiles = [("evaluations", f"{len(run.returns)}"), ("frames", f"{int(run.frames[-1]) if len(run.frames) else 0:,}")]
    if len(run.returns):
        tiles += [("last return", f"{run.returns[-1]:.0f}"), ("best return", f"{run.returns.max():.0f}")]
    if run.expert_return is not None:
        tiles.append(("expert", f"{run.expert_return:.0f}"))
        share = share_of_expert(run.returns[-1], run.expert_return) if len(run.returns) else None
        if share is not None:
            tiles.append(("of the expert", f"{share:.0%}"))
    return "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd></div>" for name, value in tiles)


def _table(values: dict[str, Any]) -> str:
    rows = (f"<tr><th scope=row>{html.escape(key)}<td>{html.escape(str(value))}" for key, value in values.items())
    return f"<table>{''.join(rows)}</table>"


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: mend or remove it") from error


def _lines(path: Path, *fields: str) -> list[dict[str, Any]]:
    """The whole lines of a JSONL file, which have ``fields``; ``UserError`` names one that is damaged."""
    found = []
    for number, line in enumerate(whole_lines(path), 1):
        try:
            found.append(dict(json.loads(line)))
            _ = [found[-1][field] for field in fields]
        except (ValueError, TypeError, LookupError) as error:
            raise UserError(f"{path}, line {number}, is damaged: mend it, or remove the line") from error
    return found


def _data(run: Run) -> dict[str, Any]:
    """Everything the page's script reads."""
    return {
        "expert": run.expert_return,
        "curves": _curves(run),
        "histograms": _histograms(run.path / "histograms.jsonl"),
        "episode": _episode(run.path / "videos" / "latest.npz"),
    }


def _curves(run: Run) -> dict[str, list[list[float | None]]]:
    """Every scalar over frames, ``[[frame, value], ...]`` thinned to ``POINTS``. Evaluations' returns come first."""
    curves: dict[str, list[list[float | None]]] = {"evaluation/return": []}
    for line in _lines(run.path / "metrics.jsonl", "frame"):
        for name, value in line.items():
            if name in ("kind", "frame", "update", "hour") or not isinstance(value, int | float | None):
                continue
            curves.setdefault(name, []).append([line["frame"], None if value is None else _short(value)])
    curves["evaluation/return"] = [[int(f), _short(r)] for f, r in zip(run.frames, run.returns, strict=True)]
    return {name: points[:: math.ceil(len(points) / POINTS)] for name, points in curves.items() if points}


def _histograms(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The histograms of logits, in the order of their frames, by ``expert`` and ``agent``."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in _lines(path, "frame", "name", "counts", "edges"):
        who, _, what = line["name"].removeprefix("evaluation/").partition("_")
        if what == "logits":
            edges = [_short(line["edges"][0]), _short(line["edges"][-1])]
            found.setdefault(who, []).append({"frame": line["frame"], "counts": line["counts"], "range": edges})
    # Both are shown side by side: a frame at which either is not finite is a gap in both.
    gaps = {one["frame"] for listed in found.values() for one in listed if None in one["range"]}
    return {who: [one for one in listed if one["frame"] not in gaps] for who, listed in found.items()}


def _episode(path: Path) -> dict[str, Any] | None:
    """The newest evaluation as sprites: one image of all frames, and one for each kind of map over them."""
    if not path.exists():
        return None
    with reading(path) as stored:
        frames = stored["frames"]
        count = len(stored["rewards"]) if "rewards" in stored else len(frames)
        steps = np.unique(np.linspace(0, count - 1, min(count, STEPS)).round().astype(int))
        sprites = {"frames": _sprite(frames[steps])}
        for kind in KINDS:
            if f"maps_{kind}" in stored and np.isfinite(stored[f"limit_{kind}"]):
                maps = np.nan_to_num(stored[f"maps_{kind}"][steps].astype(np.float32))
                sprites[kind] = _sprite(overlay(frames[steps], maps, limit=float(stored[f"limit_{kind}"])))
        return {
            "frame": int(stored["frame"]),
            "side": frames.shape[1],
            "columns": _COLUMNS,
            "steps": steps.tolist(),
            "rewards": [_short(value) for value in stored["rewards"].tolist()] if "rewards" in stored else [],
            "kinds": {kind: KINDS[kind] for kind in KINDS if kind in sprites},
            "limits": {kind: _short(float(stored[f"limit_{kind}"])) for kind in KINDS if kind in sprites},
            "colours": colours(np.linspace(-1, 1, 9), limit=1.0).astype(int).tolist(),
            "sprites": sprites,
        }


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
