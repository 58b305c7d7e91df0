"""What runs came to, in small files that are kept: ``results/<size>/<task>/<method>/seed_<n>.csv``, and their table.

The CSV has the columns of ``eval.csv``; the JSON beside it says how it was made. The table is written from them alone.
"""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.reports.runs import FINISHED, Run, expert_return

_TITLES = {"paper": "The paper's size", "small": "The small size"}
_HEAD = """\
# Results

Learning curves that this code made, a row a run. `<size>/<task>/<method>/seed_<n>.csv` has its evaluations; the JSON
beside it has the command, the commit, the machine, the versions and the whole config. This page is written from these
files (`patchail evidence`, or `make evidence` on a machine with a GPU).
"""
_COLUMNS = ("task", "method", "seed", "last return", "best", "last, of the expert's", "frames", "minutes", "machine")


class Result(NamedTuple):
    """One run's evaluations ``(frame, return, hour)``, in order, and what they were made with."""

    path: Path
    evaluations: list[tuple[int, float, float]]
    about: dict[str, Any]

    def row(self) -> str:
        """Its line of the table."""
        config, (frame, last, hour) = self.about["config"], self.evaluations[-1]
        best = max(value for _, value, _ in self.evaluations)
        expert = expert_return(config["env"]["task"], config["demos"])
        cells = (
            config["env"]["task"],
            config["method"],
            str(config["seed"]),
            f"{last:.1f}",
            f"{best:.1f}",
            f"{last / expert:.0%}" if expert else "",
            f"{frame:,} of {config['num_frames']:,}",
            f"{60 * hour:.1f}",
            self.about["machine"],
        )
        return "| " + " | ".join(cells) + " |"


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
            _ = rows[-1], about["machine"], about["config"]["demos"], about["config"]["num_frames"]
        except (OSError, ValueError, LookupError, TypeError, csv.Error) as error:
            raise UserError(
                f"{path} is no result, with the JSON beside it ({error}); mend it or remove both"
            ) from error
        yield Result(path, rows, about)


def write_table(root: Path) -> Path:
    """Writes ``root/README.md`` from the results of all sizes below ``root``, with the pictures beside them."""
    parts = [_HEAD]
    for size in sorted(path for path in root.iterdir() if path.is_dir()):
        found = list(results(size))
        lines = ["| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|", *(one.row() for one in found)]
        parts.append(f"## {_TITLES.get(size.name, size.name)}\n\n" + "\n".join(lines) + "\n")
        for one in found:
            if note := one.about.get("note"):
                parts.append(f"{one.about['config']['env']['task']}, {one.about['config']['method']}: {note}\n")
            for picture in sorted(one.path.parent.glob(f"{one.path.stem}_*.png")):
                parts.append(f"![{picture.stem.replace('_', ' ')}]({picture.relative_to(root)})\n")
    page = root / "README.md"
    page.write_text("\n".join(parts))
    return page
