"""Runs a sweep on a TPU pod slice, one run after another: ``patchail launch tpu_pod table1 --name=pail --zone=ZONE``.

``--action=create`` asks for the slice (a queued resource, or with ``--at_once`` a TPU VM) and waits for it; ``setup``
copies the committed source to every worker and installs it; ``run`` starts the sweep on all workers, where it goes on
without this machine; ``follow`` shows what worker 0 says; ``collect`` copies the run folders here; ``delete`` gives the
slice back. Without an action it is the first four, so that the slice stays; ``all`` is everything.

WANDB_API_KEY never leaves Secret Manager for a file or a command line: with ``--wandb_secret=NAME`` each worker reads
it when the runs start (its service account needs roles/secretmanager.secretAccessor).
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.launch import options
from patchail_jax.launch.sweeps.sweep import PlannedRun, command, shell_line

ACTIONS = ("create", "setup", "run", "follow", "collect", "delete")
HOME = "patchail_jax"  # the source's folder on the workers, in the home of the user who logs in
WAIT_SECONDS, FOLLOW_SECONDS = 30, 5
# Chips that a TPU's scheduler has taken back do not come again under the same queued resource.
ENDED = ("FAILED", "SUSPENDED", "DELETING")


class Slice(NamedTuple):
    """A TPU slice, as gcloud's flags name it."""

    name: str
    zone: str
    project: str
    accelerator_type: str
    runtime_version: str
    at_once: bool
    spot: bool

    def gcloud(self, *words: str) -> tuple[str, ...]:
        """A gcloud command about it."""
        where = (f"--zone={self.zone}", *((f"--project={self.project}",) if self.project else ()))
        return ("gcloud", "compute", "tpus", *words, *where, "--quiet")

    def on_workers(self, line: str, *, worker: str = "all") -> tuple[str, ...]:
        """A shell line on its workers."""
        return self.gcloud("tpu-vm", "ssh", self.name, f"--worker={worker}", f"--command={line}")


def create(tpu: Slice) -> list[tuple[str, ...]]:
    """Asks for the slice, and waits until it is there."""
    kind = (f"--accelerator-type={tpu.accelerator_type}", *(("--spot",) if tpu.spot else ()))
    if tpu.at_once:
        return [tpu.gcloud("tpu-vm", "create", tpu.name, *kind, f"--version={tpu.runtime_version}")]
    ask = tpu.gcloud(
        "queued-resources",
        "create",
        tpu.name,
        f"--node-id={tpu.name}",
        *kind,
        f"--runtime-version={tpu.runtime_version}",
    )
    state = shell_line(tpu.gcloud("queued-resources", "describe", tpu.name, "--format=value(state.state)"))
    wait = (
        f"while true; do state=$({state}) || exit 1; "
        f'case "$state" in ACTIVE) exit 0;; {"|".join(ENDED)}) echo "the request is $state" >&2; exit 1;; esac; '
        f'echo "waiting: $state"; sleep {WAIT_SECONDS}; done'
    )
    return [ask, ("bash", "-c", wait)]


def setup(tpu: Slice, archive: str, *, extras: str) -> list[tuple[str, ...]]:
    """Copies the committed source to every worker and installs it, with the OpenGL libraries that rendering needs."""
    unpack = f"mkdir -p {HOME} && tar -xzf source.tar.gz -C {HOME} && cd {HOME}"
    libraries = "libegl1 libegl-mesa0 libgl1-mesa-dri libosmesa6 python3-venv"
    # The first start of a machine upgrades packages by itself, and holds their lock.
    install = (
        "sudo apt-get -o DPkg::Lock::Timeout=600 update -qq && "
        f"sudo DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq {libraries} && "
        f"EXTRAS={extras} launch/setup.sh"
    )
    return [
        ("git", "archive", "--format=tar.gz", f"--output={archive}", "HEAD"),
        tpu.gcloud("tpu-vm", "scp", archive, f"{tpu.name}:source.tar.gz", "--worker=all"),
        tpu.on_workers(f"{unpack} && {install}"),
    ]


def sweep_script(runs: Sequence[PlannedRun], *, wandb_secret: str) -> str:
    """The program of each worker: every run, one after another; ``sweep.status`` gets 1 where a run did not finish.

    A run that crashes goes on from its checkpoint once; then the next one has its turn.
    """
    lines = ["failed=0", 'attempt() { "$@" || "$@" || failed=1; }']
    if wandb_secret:
        read = shell_line(("gcloud", "secrets", "versions", "access", "latest", f"--secret={wandb_secret}"))
        lines.append(f'WANDB_API_KEY="$({read})" && export WANDB_API_KEY')
    lines += [f"attempt {shell_line(command(run, python='.venv/bin/python'))}" for run in runs]
    return "\n".join([*lines, "echo $failed > sweep.status", ""])


def start(tpu: Slice, script: str) -> list[tuple[str, ...]]:
    """Copies the sweep's script to all workers and starts it; it goes on when this machine is gone."""
    detached = f"cd {HOME}; rm -f sweep.status; nohup setsid bash ../sweep.sh > ../sweep.log 2>&1 < /dev/null &"
    return [
        tpu.gcloud("tpu-vm", "scp", script, f"{tpu.name}:sweep.sh", "--worker=all"),
        tpu.on_workers(detached),
    ]


def follow(tpu: Slice) -> list[tuple[str, ...]]:
    """Shows worker 0's console until the sweep has ended; the exit status is the sweep's."""
    line = (
        f"tail -n 100 -F sweep.log & until [ -s {HOME}/sweep.status ]; do sleep {FOLLOW_SECONDS}; done; "
        f'sleep 2; kill $!; exit "$(cat {HOME}/sweep.status)"'
    )
    return [tpu.on_workers(line, worker="0")]


def collect(tpu: Slice, root: str) -> list[tuple[str, ...]]:
    """Copies the run folders, checkpoints included, here."""
    if root.startswith("gs://"):
        return [("gcloud", "storage", "rsync", "--recursive", root, f"runs/{root.removeprefix('gs://')}")]
    parent = str(Path(root).parent)
    source = f"{tpu.name}:{root if root.startswith('/') else f'{HOME}/{root}'}"
    return [("mkdir", "-p", parent), tpu.gcloud("tpu-vm", "scp", "--recurse", source, parent, "--worker=0")]


def delete(tpu: Slice) -> list[tuple[str, ...]]:
    """Gives the slice back."""
    if tpu.at_once:
        return [tpu.gcloud("tpu-vm", "delete", tpu.name)]
    return [tpu.gcloud("queued-resources", "delete", tpu.name, "--force")]


def write_script(path: Path, text: str, *, dry_run: bool) -> None:
    """Writes the file, or shows the shell's way to write it."""
    sys.stdout.write(f"cat > {shell_line([str(path)])} <<'END'\n{text}END\n")
    if not dry_run:
        path.write_text(text)


def main(argv: Sequence[str]) -> int:
    """The launcher; returns its exit status, that of the first command that fails."""
    flags = options.parser(__doc__, launcher="tpu_pod")
    flags.add_argument("--action", default="", help=f"{', '.join(ACTIONS)}, or all; default: create to follow")
    flags.add_argument("--name", required=True, help="of the slice")
    flags.add_argument("--zone", required=True)
    flags.add_argument("--project", default="", help="default: gcloud's own")
    flags.add_argument("--accelerator_type", default="v5litepod-16")
    flags.add_argument("--runtime_version", default="v2-alpha-tpuv5-lite")
    flags.add_argument("--at_once", action="store_true", help="a TPU VM now or never, instead of a queued resource")
    flags.add_argument("--spot", action="store_true", help="cheaper, and may be taken away")
    flags.add_argument("--wandb_secret", default="", help="Secret Manager's name of the W&B key")
    chosen, runs = options.parse(flags, argv)
    if chosen.action not in ("", "all", *ACTIONS):
        raise UserError(f"--action is {chosen.action!r}; use one of {', '.join(ACTIONS)}, all")
    tpu = Slice(*(getattr(chosen, field) for field in Slice._fields))
    wanted = {"": ACTIONS[:4], "all": ACTIONS}.get(chosen.action, (chosen.action,))
    if "setup" in wanted and not chosen.dry_run:
        options.require_checkout()  # now: the slice is created, and paid for, before its set-up
    archive, script = (Path(tempfile.gettempdir()) / f"{chosen.name}{ending}" for ending in (".tar.gz", ".sh"))
    steps: dict[str, list[tuple[str, ...]]] = {
        "create": create(tpu),
        "setup": setup(tpu, str(archive), extras=options.extras_for(chosen.root, "tpu")),
        "run": start(tpu, str(script)),
        "follow": follow(tpu),
        "collect": collect(tpu, chosen.root),
        "delete": delete(tpu),
    }
    worst = 0
    for action in wanted:
        if action == "run":
            write_script(script, sweep_script(runs, wandb_secret=chosen.wandb_secret), dry_run=chosen.dry_run)
        for words in steps[action]:
            sys.stdout.write(f"{shell_line(words)}\n")
            sys.stdout.flush()
            status = 0 if chosen.dry_run else subprocess.run(words, check=False).returncode
            if status:
                sys.stderr.write(f"{action} ended with status {status}\n")
                worst = status
            if status and action != "follow":  # a sweep with a failed run is still collected, and its slice given back
                return status
    return worst
