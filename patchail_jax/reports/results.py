"""What runs came to, in small files that are kept: ``results/<size>/<task>/<method>/seed_<n>.csv``, and their table.

The CSV has the columns of ``eval.csv``; the JSON beside it says how it was made. The table is written from them alone.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from patchail_jax.errors import UserError
from patchail_jax.files.json_objects import read_json
from patchail_jax.files.lines import whole_lines
from patchail_jax.files.whole_file import write_text
from patchail_jax.reports.curves import curves, figure
from patchail_jax.reports.kept_results import results, sizes
from patchail_jax.reports.method_tables import at_equal_frames, over_tasks
from patchail_jax.reports.runs import FINISHED, Run
from patchail_jax.reports.seeds import differences, in_words, refuse_twice
from patchail_jax.reports.style import save
from patchail_jax.reports.text import table
from patchail_jax.storage import run_names

_log = logging.getLogger(__name__)

_TITLES = {
    "paper": "The paper's size",
    "penalty_by_channels": "The paper's size, with the gradient penalty by channels",
    "quickstart": "The quickstart",
    "small": "In small",
}
_HEAD = """\
# Results

Learning curves that this code made, one row per run. `<size>/<task>/<method>/seed_<n>.csv` has its evaluations; the
JSON beside it has the command, the commit, the machine, the versions and the whole config. This page is written from
these files: by `make evidence` on a machine with a GPU, by `make results` at small size on a CPU. The expert is the one
whose demonstrations the run had. A mean over tasks counts each alike; its interval needs several seeds of each.
"""
_FIRST_WORDS = _HEAD[: _HEAD.index(",")]
_PAGE = "README.md"
_COLUMNS = (
    "task", "method", "seed", "first return", "last", "best", "last, % of expert", "frames", "minutes", "machine"
)  # fmt: skip


def gather(
    runs: Sequence[Run],
    folder: Path,
    *,
    command: str = "",
    machine: str = "",
    force: bool = False,
) -> list[Path]:
    """Copies each run's evaluations to ``folder``, and beside them how they were made; none of a run without one.

    Without ``force`` a result that is there stays if it goes to later frames, or as far with other evaluations, and the
    log says so. A note in a result's JSON stays if its evaluations do; the log has one that goes. Returns the paths of
    what it has written.
    The command that was last given for a run, and its machine, are what its folder says unless they are given.
    ``UserError``, before anything is written, where two runs would become one file, where a task and method would have
    several configs (``seeds.differences``), where a file of any size beside ``folder`` is no result, where there is a
    README.md beside it that is not ours, and, without ``force``, where the file that is there holds another config.
    """
    _refuse_another_page(folder.parent)
    chosen: dict[Path, Run] = {}
    made: dict[Path, dict[str, Any]] = {}
    for run in runs:
        if len(run.frames):
            target = folder / _name(run.task) / _name(run.method) / f"seed_{run.seed}.csv"
            if target in chosen:
                raise UserError(
                    f"{chosen[target].path} and {run.path} would both become {target}: name one of them, or give each "
                    "a --size of its own"
                )
            chosen[target] = run
            made[target] = _about(run, command, machine)
    there = {one.path: one for size in sizes(folder.parent) for one in results(size)}
    kept = {path: one.run for path, one in there.items()}
    if not force:
        chosen = {target: run for target, run in chosen.items() if _adds(run, to=kept.get(target), target=target)}
    _refuse_mixture({**kept, **chosen})
    texts: dict[Path, str] = {}
    for target, run in chosen.items():
        if target in there and (note := there[target].about.get("note")):
            if _same_evaluations(run, kept[target]):
                made[target]["note"] = note
            else:
                _log.warning("%s loses its note, which told of other evaluations: %s", target, note)
        texts[target] = "".join(whole_lines(run.path / run_names.EVALUATIONS))
        texts[target.with_suffix(".json")] = json.dumps(made[target], indent=2) + "\n"
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return list(texts)


def _name(text: str) -> str:
    """``text`` as a folder's name; ``UserError`` where it would lead elsewhere."""
    if Path(text).name != text or text in ("", ".."):
        raise UserError(f"a result's folder cannot be called {text!r}: rename the task or method in the run's config")
    return text


def _about(run: Run, command: str, machine: str) -> dict[str, Any]:
    versions = read_json(run.path / run_names.VERSIONS, remedy="put it back, or leave the run out")
    noted = {name: versions.pop(name, None) for name in ("command", "git_commit", "machine")}
    if wrong := [name for name, value in noted.items() if not isinstance(value, str | None)]:
        raise UserError(
            f"{run.path / run_names.VERSIONS}: {wrong[0]!r} is no text: put the file back, or leave the run out"
        )
    return {
        "command": command or noted["command"],
        "commit": noted["git_commit"],
        "machine": machine or noted["machine"],
        "finished": run.status == FINISHED,
        "versions": versions,
        "config": run.config,
    }


def _adds(run: Run, *, to: Run | None, target: Path) -> bool:
    """Whether ``run`` goes as far as the result that it would replace; ``UserError`` where that is of another run."""
    if to is None:
        return True
    if found := differences([to, run]):
        raise UserError(
            f"{target} is of another run than {run.path}: they differ in {in_words(found)}; "
            "give the run a --size of its own, or --force to replace the file"
        )
    before, now = to.frames[-1], run.frames[-1]
    other = before == now and not _same_evaluations(run, to)
    if stays := bool(before > now or other):
        _log.warning(
            "%s goes to %s frames and stays as it is: %s goes to %s%s. --force would replace it",
            target, f"{before:,}", run.path, f"{now:,}", " too, with other evaluations" if other else "",
        )  # fmt: skip
    return not stays


def _same_evaluations(one: Run, other: Run) -> bool:
    return np.array_equal(one.frames, other.frames) and np.array_equal(one.returns, other.returns)


def _refuse_mixture(runs: Mapping[Path, Run]) -> None:
    """``UserError`` where a folder of seeds would hold several configs, or one seed twice."""
    for folder in dict.fromkeys(path.parent for path in runs):
        group = [run for path, run in runs.items() if path.parent == folder]
        if found := differences(group):
            raise UserError(
                f"the seeds of {folder} would differ in {in_words(found)}: give each config a --size of its own"
            )
        refuse_twice(group)


def _refuse_another_page(root: Path) -> None:
    """``UserError`` where the README.md of ``root`` is not the one that ``write_table`` writes, and would replace."""
    page = root / _PAGE
    if page.exists() and not page.read_bytes().startswith(_FIRST_WORDS.encode()):
        raise UserError(f"{page} is no page of results, and would be replaced: give an --output of its own")


def write_table(root: Path) -> list[Path]:
    """Writes ``root/<size>.png`` and ``root/README.md`` from the results of all sizes below ``root``.

    Returns their paths, the page's last. ``UserError`` where there is no such folder, where it has another README.md,
    and for a size whose seeds are of several configs.
    """
    _refuse_another_page(root)
    if not root.is_dir():
        raise UserError(f"no results in {root}: gather those of a run first")
    parts, pictures = [_HEAD], dict[Path, Figure]()
    for size in sizes(root):
        if not (found := list(results(size))):
            continue
        runs = [one.run for one in found]
        picture = root / f"{size.name}.png"
        pictures[picture] = figure(curves(runs))
        parts.append(f"## {_TITLES.get(size.name, size.name)}\n\n{table(_COLUMNS, [one.cells() for one in found])}")
        parts += over_tasks(runs) + at_equal_frames(runs)
        parts.append(f"![learning curves, {size.name}]({picture.name})\n")
        parts += [f"{run.title}: {run.broken()}\n" for run in runs if run.broken_at is not None]
        for one in found:
            if note := one.about.get("note"):
                parts.append(f"{one.run.task}, {one.run.method}: {note}\n")
            for drawn in sorted(one.path.parent.glob(f"{one.path.stem}_*.png")):
                parts.append(f"![{drawn.stem.replace('_', ' ')}]({drawn.relative_to(root)})\n")
    page = root / _PAGE
    for picture, panels in pictures.items():
        save(panels, picture)
    write_text(page, "\n".join(parts))
    return [*pictures, page]
