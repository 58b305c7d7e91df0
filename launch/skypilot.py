"""Runs a sweep on any cloud by SkyPilot, a managed job a run: ``patchail launch skypilot table1 --bucket=gs://mine``.

Managed jobs move when a spot machine is taken away, and the run goes on from the checkpoint in the bucket, which is
mounted at /runs, or under a ``--root`` such as gs://mine/runs. ``--accelerators`` is SkyPilot's notation (``L4:1``,
``H100:1``, ``tpu-v6e-8``). WANDB_API_KEY goes from this shell's environment as a SkyPilot secret: it is in no file and
on no command line.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.launch import options
from patchail_jax.launch.manifest import require_shared, to_yaml
from patchail_jax.launch.sweeps.sweep import PlannedRun, command, identifier, shell_line

NAME_LIMIT = 50  # characters
MOUNT = "/runs"
KEY = "WANDB_API_KEY"


class Place(NamedTuple):
    """Where a run goes, and what it finds there."""

    bucket: str
    accelerators: str
    cpus: int
    memory_gb: int
    spot: bool
    extras: str
    has_key: bool


def task(run: PlannedRun, sweep: str, place: Place) -> dict[str, Any]:
    """SkyPilot's task of one run."""
    resources: dict[str, Any] = {"cpus": f"{place.cpus}+", "memory": f"{place.memory_gb}+", "use_spot": place.spot}
    if place.accelerators:
        resources["accelerators"] = place.accelerators
    return {
        "name": identifier(sweep, run.name, limit=NAME_LIMIT),
        "resources": resources,
        "workdir": ".",
        **({"file_mounts": {MOUNT: {"source": place.bucket, "mode": "MOUNT"}}} if place.bucket else {}),
        **({"secrets": {KEY: None}} if place.has_key else {}),  # its value comes with --secret
        "setup": f"sudo env EXTRAS={shell_line([place.extras])} launch/setup.sh",
        "run": shell_line(command(run, python=".venv/bin/python")),
    }


def main(argv: Sequence[str]) -> int:
    """The launcher; returns the exit status of the first sky command that fails."""
    flags = options.parser(__doc__, launcher="skypilot")
    flags.add_argument("--bucket", default="", help=f"gs://, s3:// or another that SkyPilot mounts, at {MOUNT}")
    flags.add_argument("--accelerators", default="L4:1", help="of a run; empty for CPUs alone")
    flags.add_argument("--cpus", type=int, default=8, help="of a run, at least")
    flags.add_argument("--memory_gb", type=int, default=64, help="of a run, at least")
    flags.add_argument("--spot", action="store_true", help="cheaper, and moved when taken away")
    flags.add_argument("--extras", default="cuda12", help="of setup.sh: cuda12, cuda13 or tpu")
    chosen, runs = options.parse(flags, argv, parent=MOUNT)
    require_shared(chosen.root, mount=MOUNT if chosen.bucket else "", flag="--bucket")
    if not chosen.dry_run:
        options.require_checkout()
    chosen.extras = options.extras_for(chosen.root, chosen.extras)
    chosen.has_key = bool(os.environ.get(KEY))
    place = Place(*(getattr(chosen, field) for field in Place._fields))
    secret = ("--secret", KEY) if chosen.has_key else ()
    folder = Path(tempfile.gettempdir())
    for run in runs:
        made = task(run, chosen.sweep, place)
        path, text = folder / f"{made['name']}.yaml", to_yaml([made])
        words = ("sky", "jobs", "launch", "--yes", "--async", *secret, str(path))
        sys.stdout.write(f"cat > {shell_line([str(path)])} <<'END'\n{text}END\n{shell_line(words)}\n")
        sys.stdout.flush()
        if chosen.dry_run:
            continue
        path.write_text(text)
        try:
            status = subprocess.run(words, check=False).returncode
        except FileNotFoundError as error:
            raise UserError("sky is not installed: pip install skypilot") from error
        if status:
            return status
    return 0
