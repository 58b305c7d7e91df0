"""A run as one page: an HTML file that opens from disk and needs no network."""

import html
import importlib.resources
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.files.json_objects import read_json
from patchail_jax.files.whole_file import write_text
from patchail_jax.reports.page_data import page_data
from patchail_jax.reports.published import method_label
from patchail_jax.reports.runs import Run, share_of_expert
from patchail_jax.reports.text import shown
from patchail_jax.storage import run_names
from patchail_jax.storage.run_config import flatten

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_RUN = re.compile(r'<meta name="run" content="([^"]*)">')


def write_pages(runs: Sequence[Run], output: Path) -> list[Path]:
    """Writes ``<task>_<method>_<seed>.html`` for each run; where two share it, what their folders differ in is added.

    ``UserError``, before any page is written, where two names are equal still, where ``output`` has another run's page
    of that name, and for a damaged file of a run.
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
    pages = {output / f"{name}.html": _page(run) for run, name in zip(runs, names, strict=True)}
    output.mkdir(parents=True, exist_ok=True)
    for path, page in pages.items():
        write_text(path, page)
    return list(pages)


def _page(run: Run) -> str:
    """What the run has left so far; ``UserError`` for a damaged one of its files, by its line if it has lines."""
    return _filled(
        {
            "run": _address(run),
            "title": html.escape(f"{run.task}, {method_label(run.method)}, seed {run.seed}"),
            "task": html.escape(run.task.replace("_", " ")),
            "method": html.escape(f"{method_label(run.method)}, seed {run.seed}"),
            "status": html.escape(run.status),
            "state": html.escape(run.state()),
            "tiles": _tiles(run),
            "config": _table(flatten(run.config)),
            "versions": _table(_versions(run.path / run_names.VERSIONS)),
            "data": _script(page_data(run)),
        }
    )


def _refuse_other_page(path: Path, run: Run) -> None:
    """``UserError`` where ``path`` is the page of another run: of the same task, method and seed in another folder."""
    found = _RUN.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
    if found and found[1] != _address(run):
        raise UserError(f"{path} is the page of {html.unescape(found[1])}, not of {run.path}: give another --output")


def _address(run: Run) -> str:
    return html.escape(shown(run.path.absolute()))


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


def _versions(path: Path) -> dict[str, Any]:
    return read_json(path, remedy="correct or remove it") if path.exists() else {}
