"""Runs a sweep on any cloud by SkyPilot, a managed job a run: ``patchail launch skypilot table1 --root=gs://mine/table1``.

Managed jobs move when a spot machine is taken away, and the run goes on from the checkpoint in the bucket; the same
command later launches only what has not finished and is not in SkyPilot's queue. A job's name ends with checksums of
its run's folder and flags, so that jobs of another root are not taken for those of this one. ``--accelerators`` is
SkyPilot's notation (``L4:1``, ``H100:1``, ``tpu-v6e-8``). WANDB_API_KEY goes from this shell's environment as a
SkyPilot secret: it is in no file and on no command line.
"""

import json
import os
import shlex
import subprocess
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.launch import options
from patchail_jax.launch.manifest import hand_over_folder, require_shared, run_shown, to_yaml, write_shown
from patchail_jax.launch.outside import require_program
from patchail_jax.launch.standing import left
from patchail_jax.launch.sweeps.sweep import (
    JAX_PLATFORMS,
    PlannedRun,
    checksum,
    command,
    identifier,
    on_platform,
)
from patchail_jax.programs.arguments import optional_word, positive

NAME_LIMIT = 63  # characters, checksums included
KEY = "WANDB_API_KEY"
RESTARTS = 3  # of a run that ends with an error; SkyPilot cannot leave out one that was refused
NO_QUEUE = "No in-progress managed jobs"  # what sky says, with an error's status, before the first job or long after
# The extras that bring the JAX of a platform, the default first.
JAX_EXTRAS = {"gpu": ("cuda12", "cuda13"), "tpu": ("tpu",), "": ()}


class TaskPlace(NamedTuple):
    """Where a run goes, and what it finds there."""

    accelerators: str
    cpus: int
    memory_gb: int
    spot: bool
    extras: str
    has_key: bool


def platform_of(accelerators: str) -> str:
    """What JAX must find on machines with ``accelerators``: "gpu", "tpu", or "" for CPUs."""
    return "" if not accelerators else "tpu" if accelerators.lower().startswith("tpu") else "gpu"


def extras_of(accelerators: str, given: str | None) -> str:
    """What ``setup.sh`` installs for ``accelerators``: what is ``given``, else the JAX of their platform.

    ``UserError`` where ``given`` brings another JAX than theirs.
    """
    fitting = JAX_EXTRAS[platform_of(accelerators)]
    if given is None:
        return fitting[0] if fitting else ""
    known = {extra for extras in JAX_EXTRAS.values() for extra in extras}
    brought = [extra for extra in given.split(",") if extra in known]
    if len(brought) != bool(fitting) or not {*brought} <= {*fitting}:
        has = f"name one of {', '.join(fitting)}" if fitting else f"name none of {', '.join(sorted(known))}"
        raise UserError(f"--extras={given} does not fit --accelerators={accelerators}: {has}, or leave --extras out")
    return given


def job_name(run: PlannedRun, sweep: str) -> str:
    """The name of a run's job: its sweep and run, and checksums of its folder and of its flags."""
    checks = "".join(f"-{checksum(text)}" for text in (run.folder, "\n".join(run.flags)))
    return f"{identifier(sweep, run.name, limit=NAME_LIMIT - len(checks))}{checks}"


def task(run: PlannedRun, sweep: str, place: TaskPlace) -> dict[str, Any]:
    """SkyPilot's task of one run, which has been told its platform."""
    resources: dict[str, Any] = {
        "cpus": f"{place.cpus}+",
        "memory": f"{place.memory_gb}+",
        "use_spot": place.spot,
        "job_recovery": {"max_restarts_on_errors": RESTARTS},
    }
    environment: dict[str, str] = {}
    if place.accelerators:
        resources["accelerators"] = place.accelerators
        environment["JAX_PLATFORMS"] = JAX_PLATFORMS[platform_of(place.accelerators)]
    return {
        "name": job_name(run, sweep),
        "resources": resources,
        "workdir": ".",
        **({"envs": environment} if environment else {}),
        **({"secrets": {KEY: None}} if place.has_key else {}),  # its value comes with --secret
        "setup": f"sudo env TOOLS= EXTRAS={shlex.join([place.extras])} launch/setup.sh",
        "run": shlex.join(command(run, python=".venv/bin/python")),
    }


def queued() -> set[str]:
    """The names of the managed jobs that wait or run. ``UserError`` where SkyPilot does not say."""
    words = ("sky", "jobs", "queue", "--all", "--skip-finished", "--output", "json")
    require_program("sky", remedy="pip install skypilot")
    try:
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode and NO_QUEUE in done.stdout + done.stderr:
            return set()
        return {str(job["job_name"]) for job in json.loads(done.stdout[done.stdout.index("[") :])}
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"SkyPilot does not say which runs are queued already: see {shlex.join(words)}") from error


def waiting(runs: Sequence[PlannedRun], sweep: str, known: Collection[str]) -> dict[str, str]:
    """Those of the runs whose jobs are among the ``known`` names. ``UserError`` for one that has other flags there."""
    found = {}
    by_folder = {name.rpartition("-")[0]: name for name in known}
    for run in runs:
        name = job_name(run, sweep)
        other = by_folder.get(name.rpartition("-")[0])
        if name in known:
            found[run.name] = "queued"
        elif other:
            raise UserError(
                f"{run.name} is queued with other flags: give the same, or cancel it (sky jobs cancel --name {other})"
            )
    return found


def main(argv: Sequence[str]) -> int:
    """The launcher; returns the exit status of the first sky command that fails."""
    flags = options.parser(__doc__, launcher="skypilot")
    flags.add_argument(
        "--accelerators", type=optional_word, default="L4:1", help="accelerators of a run; empty for CPUs alone"
    )
    flags.add_argument("--cpus", type=positive, default=8, help="CPU cores of a run, at least")
    flags.add_argument("--memory_gb", type=positive, default=64, help="memory of a run, at least")
    flags.add_argument("--spot", action="store_true", help="cheaper, and moved when taken away")
    flags.add_argument(
        "--extras", type=optional_word, help="what setup.sh installs (default: cuda12 for GPUs, tpu for TPUs)"
    )
    chosen, runs = options.parse(flags, argv)
    require_shared(chosen.root)
    chosen.extras = options.extras_for(chosen.root, extras_of(chosen.accelerators, chosen.extras))
    chosen.has_key = bool(os.environ.get(KEY))
    place = TaskPlace(*(getattr(chosen, field) for field in TaskPlace._fields))
    known: set[str] = set()
    if not chosen.dry_run:
        options.require_checkout()
        known = queued()
    runs = [on_platform(run, platform_of(place.accelerators)) for run in runs]
    runs = left(runs, queued=waiting(runs, chosen.sweep, known))
    secret = ("--secret", KEY) if chosen.has_key else ()
    folder = hand_over_folder(dry_run=chosen.dry_run)
    for run in runs:
        made = task(run, chosen.sweep, place)
        path, text = folder / f"{made['name']}.yaml", to_yaml([made])
        words = ("sky", "jobs", "launch", "--yes", "--async", *secret, str(path))
        write_shown(path, text, dry_run=chosen.dry_run)
        if status := run_shown(words, dry_run=chosen.dry_run):
            return status
    return 0
