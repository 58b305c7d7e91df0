"""What runs came to, in small files that are kept: ``results/<size>/<task>/<method>/seed_<n>.csv``, and their table.

The CSV has the columns of ``eval.csv``; the JSON beside it says how it was made. The table is written from them alone.
"""

import csv
import functools
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.errors import UserError
from patchail_jax.reports.curves import curves, figure
from patchail_jax.reports.published import method_label, method_order
from patchail_jax.reports.runs import FINISHED, STOPPED, Run, expert_return
from patchail_jax.reports.statistics import interquartile_mean, interval, stratified_bootstrap
from patchail_jax.reports.style import save

_TITLES = {
    "paper": "The paper's size",
    "penalty_by_channels": "The paper's size, with the gradient penalty by channels",
    "small": "In small",
}
_HEAD = """\
# Results

Learning curves that this code made, a row a run. `<size>/<task>/<method>/seed_<n>.csv` has its evaluations; the JSON
beside it has the command, the commit, the machine, the versions and the whole config. This page is written from these
files: by `make evidence` on a machine with a GPU, by `make results` in small on a CPU.
"""
_COLUMNS = ("task", "method", "seed", "last return", "best", "last, of the expert's", "frames", "minutes", "machine")
_METHOD_COLUMNS = ("method", "tasks", "runs", "interquartile mean of the last returns, of the expert's", "95% interval")


@dataclass(frozen=True)
class Result:
    """One run's evaluations ``(frame, return, hour)``, in order, and what they were made with."""

    path: Path
    evaluations: list[tuple[int, float, float]]
    about: dict[str, Any]

    @functools.cached_property
    def run(self) -> Run:
        """What reports know of a run."""
        config = self.about["config"]
        frames, returns, _ = map(np.asarray, zip(*self.evaluations, strict=True))
        status = FINISHED if self.about["finished"] else STOPPED
        return Run(self.path, config, frames, returns, status, expert_return(config["env"]["task"], config["demos"]))

    def row(self) -> str:
        """Its line of the table."""
        run = self.run
        cells = (
            run.task,
            run.method,
            str(run.seed),
            f"{run.returns[-1]:.1f}",
            f"{run.returns.max():.1f}",
            f"{run.returns[-1] / run.expert_return:.0%}" if run.expert_return else "",
            f"{run.frames[-1]:,} of {run.num_frames:,}",
            f"{60 * self.evaluations[-1][2]:.1f}",
            self.about["machine"],
        )
        return _line(cells)


def gather(run: Run, folder: Path, *, command: str = "", machine: str = "") -> Path | None:
    """Copies the run's evaluations to ``folder`` and writes beside them how they were made; None before the first.

    The command that was last given for the run, and its machine, are what its folder says unless they are given.
    """
    if not len(run.frames):
        return None
    target = folder / run.task / run.method / f"seed_{run.seed}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    versions = json.loads((run.path / "versions.json").read_text())
    noted = {name: versions.pop(name, None) for name in ("command", "git_commit", "machine")}
    about = {
        "command": command or noted["command"],
        "commit": noted["git_commit"],
        "machine": machine or noted["machine"],
        "finished": run.status == FINISHED,
        "versions": versions,
        "config": run.config,
    }
    shutil.copyfile(run.path / "eval.csv", target)
    target.with_suffix(".json").write_text(json.dumps(about, indent=2) + "\n")
    return target


def results(folder: Path) -> Iterator[Result]:
    """All results of one size, by task, method and seed; ``UserError`` names a file that is none."""
    for path in sorted(folder.glob("*/*/seed_*.csv")):
        try:
            about = json.loads(path.with_suffix(".json").read_text())
            with path.open() as stream:
                rows = [
                    (int(row["frame"]), float(row["episode_reward"]), float(row["hour"]))
                    for row in csv.DictReader(stream)
                ]
            one = Result(path, rows, about)
            _ = one.row()
        except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
            raise UserError(f"{path} is no result, with the JSON beside it ({error}); repair or remove both") from error
        yield one


def write_table(root: Path) -> Path:
    """Writes ``root/README.md`` and ``root/<size>.png`` from the results of all sizes below ``root``."""
    parts = [_HEAD]
    for size in sorted(path for path in root.iterdir() if path.is_dir()):
        found = list(results(size))
        if not found:
            continue
        runs = [one.run for one in found]
        picture = root / f"{size.name}.png"
        save(figure(curves(runs)), picture)
        parts.append(f"## {_TITLES.get(size.name, size.name)}\n\n{_table(_COLUMNS, [one.row() for one in found])}")
        parts.append(_table(_METHOD_COLUMNS, _methods(runs)))
        parts.append(f"![learning curves, {size.name}]({picture.name})\n")
        for one in found:
            if note := one.about.get("note"):
                parts.append(f"{one.run.task}, {one.run.method}: {note}\n")
            for drawn in sorted(one.path.parent.glob(f"{one.path.stem}_*.png")):
                parts.append(f"![{drawn.stem.replace('_', ' ')}]({drawn.relative_to(root)})\n")
    page = root / "README.md"
    page.write_text("\n".join(parts))
    return page


def _methods(runs: Sequence[Run]) -> Iterator[str]:
    """A line a method: the interquartile mean over its tasks and seeds, with an interval where seeds say one."""
    for method in sorted({run.method for run in runs}, key=method_order):
        shares: dict[str, list[float]] = {}
        for run in runs:
            if run.method == method and run.expert_return:
                shares.setdefault(run.task, []).append(run.returns[-1] / run.expert_return)
        strata = [np.asarray(values) for values in shares.values()]
        if not strata:
            continue
        spread = "-"
        if any(len(values) > 1 for values in strata):
            ends = interval(stratified_bootstrap([strata], interquartile_mean))
            spread = " to ".join(f"{end:.0%}" for end in ends)
        count = sum(map(len, strata))
        yield _line((method_label(method), str(len(strata)), str(count), f"{interquartile_mean(strata):.0%}", spread))


def _table(columns: Sequence[str], lines: Iterator[str] | Sequence[str]) -> str:
    return "\n".join([_line(columns), "|---" * len(columns) + "|", *lines]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
