"""What is known of a sweep's jobs in SLURM: which run each of them is, and which of them wait or run."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.files.append import append
from patchail_jax.launch.outside import Silence, answer
from patchail_jax.launch.sweeps.sweep import PlannedRun

SUBMITTED = "submitted.jsonl"  # in the folder of logs: which job is which run


def queued(folder: Path, runs: Sequence[PlannedRun]) -> dict[str, str]:
    """Those of the runs that wait or run in SLURM, by what was noted in ``folder`` when they were submitted.

    ``UserError`` where SLURM does not say: they might be submitted twice. And for one that is there with other flags.
    """
    if not (folder / SUBMITTED).exists():
        return {}
    try:
        said = answer(["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"], seconds=120)
    except (UserError, Silence) as error:
        raise UserError(f"squeue does not say which runs are queued already ({error}): try on a login node") from error
    alive = set(said.split())
    wanted = {run.name: run for run in runs}
    there = [line for line in _noted(folder / SUBMITTED) if line["job"] in alive and line["run"] in wanted]
    for line in there:
        if line.get("flags", ours := _flags(wanted[line["run"]])) != ours:
            raise UserError(
                f"{line['run']} is queued with other flags: give the same, or cancel it (scancel {line['job']})"
            )
    return {line["run"]: "queued" for line in there}


def _noted(path: Path) -> list[dict[str, Any]]:
    """The lines of ``note``; a damaged one is skipped, and said on stderr."""
    found = []
    for number, text in enumerate(path.read_text(errors="replace").splitlines(), 1):
        try:
            line = json.loads(text)
            _ = line["job"], line["run"]
        except (ValueError, LookupError, TypeError):
            sys.stderr.write(f"line {number} of {path} is damaged and skipped: its run may be queued (see squeue)\n")
        else:
            found.append(line)
    return found


def _flags(run: PlannedRun) -> list[str]:
    """What a run is asked for, its folder aside, which may be written in several ways."""
    return [flag for flag in run.flags if not flag.startswith("--config.run_folder=")]


def note(folder: Path, runs: Sequence[PlannedRun], jobs: Sequence[str]) -> None:
    """Writes down which job is which run, and what it was asked for."""
    path = folder / SUBMITTED
    pairs = zip(runs, jobs, strict=True)
    lines = [json.dumps({"job": job, "run": run.name, "flags": _flags(run)}) for run, job in pairs]
    if path.exists() and path.read_bytes()[-1:] not in (b"", b"\n"):
        lines.insert(0, "")  # behind a line that was cut short
    append(path, "".join(f"{line}\n" for line in lines).encode())
