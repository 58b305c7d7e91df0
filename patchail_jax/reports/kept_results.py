"""Results that are kept, ``<size>/<task>/<method>/seed_<n>.csv`` with a JSON beside each: reads and checks them."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.files.json_objects import read_json
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.reports.eval_csv import EvalCsv, read_eval_csv
from patchail_jax.reports.runs import FINISHED, STOPPED, Run, expert_return, identity_of, share_of_expert
from patchail_jax.reports.text import line


@dataclass(frozen=True)
class Result:
    """One run's evaluations, and what they were made with."""

    path: Path
    evaluations: EvalCsv
    about: dict[str, Any]

    @functools.cached_property
    def run(self) -> Run:
        """What reports know of a run."""
        config, found = self.about["config"], self.evaluations
        status = FINISHED if self.about["finished"] else STOPPED
        expert = expert_return(config["env"], config.get("demos", {}))
        return Run(self.path, config, found.frames, found.returns, status, expert, found.broken_at)

    def cells(self) -> tuple[str, ...]:
        """Its row of the table."""
        run = self.run
        first, last, best, share, reached = "-", "-", "-", "", 0
        if len(run.returns):
            first, last, best = (f"{score:.1f}" for score in (run.returns[0], run.returns[-1], run.returns.max()))
            reached = int(run.frames[-1])
            ratio = share_of_expert(run.returns[-1], run.expert_return)
            share = "" if ratio is None else f"{ratio:.0%}"
        return (
            run.task,
            run.method,
            str(run.seed),
            first,
            last,
            best,
            share,
            f"{reached:,} of {run.num_frames:,}",
            f"{60 * self.evaluations.last_hour:.1f}",
            self.about["machine"] or "-",  # runs of before it was noted have none
        )

    def row(self) -> str:
        """The same, as a row of Markdown."""
        return line(self.cells())


def results(folder: Path) -> Iterator[Result]:
    """All results of one size, by task, method and seed; ``UserError`` names a file that is none."""
    for path in sorted(folder.glob("*/*/seed_*.csv")):
        try:
            about = read_json(path.with_suffix(".json"), remedy="put it back")
            one = Result(path, read_eval_csv(path, of=_identity(path, about)), about)
            if one.evaluations.last_frame < 0:
                raise ValueError("no evaluation")
            if about["finished"] and one.evaluations.last_frame < one.run.num_frames:
                raise ValueError("it is said to be finished, and its last evaluations are missing")
            _ = one.row()
        except (ValueError, LookupError, TypeError, AttributeError, UserError) as error:
            raise UserError(f"{path} is no result, with the JSON beside it ({error}); repair or remove both") from error
        yield one


def _identity(path: Path, about: Mapping[str, Any]) -> RunIdentity:
    """Of the result at ``path``; ``ValueError`` where its JSON is of another task, method or seed than its place."""
    found = identity_of(about["config"])
    if path.parts[-3:] != (found.task, found.agent, f"seed_{found.seed}.csv"):
        raise ValueError(f"its config is of the run {found.name}")
    return found


def sizes(root: Path) -> list[Path]:
    """The folders of all sizes, none where there is no ``root`` yet."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
