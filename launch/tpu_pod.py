"""Runs a sweep on a TPU pod slice: ``patchail launch tpu_pod table1 --name=pail --zone=ZONE --root=gs://mine/table1``.

One run after another over all hosts, for large batches, or with ``--per_host`` one on each host, side by side.
``--action=create`` asks for the slice (a queued resource, or with ``--at_once`` a TPU VM) unless it is there, and
waits; ``setup`` copies the committed source to every worker and installs it; ``run`` starts the sweep on all workers,
where it goes on without this machine; ``follow`` shows what they say; ``stop`` lets the runs save and ends the sweep;
``collect`` copies the run folders here; ``delete`` gives the slice back. Without an action it is the first four, so
that the slice stays; ``all`` gives it back as well, unless a sweep is at work on it. The same command resumes, also on
another slice.

WANDB_API_KEY never leaves Secret Manager for a file or a command line: with ``--wandb_secret=NAME`` each worker reads
it when the runs start (its service account needs roles/secretmanager.secretAccessor).
"""

import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.launch import options
from patchail_jax.launch.manifest import hand_over_folder, require_shared, run_shown, write_shown
from patchail_jax.launch.outside import require_program
from patchail_jax.launch.pod_script import BUSY, HOME, LOCK, PID, sweep_script
from patchail_jax.launch.standing import left
from patchail_jax.programs.arguments import word

ACTIONS = ("create", "setup", "run", "follow", "stop", "collect", "delete")
GIVE_BACK = ("collect", "delete")
BY_ITSELF, ALL = ACTIONS[:4], (*ACTIONS[:4], *GIVE_BACK)
WAIT_SECONDS, FOLLOW_SECONDS = 30, 5
KILLED = "no sweep is at work here, and the last one was killed, or its host was: --action=run starts it again"
DISCONNECTED = 255  # the exit status of ssh where the connection is gone


class SliceKind(NamedTuple):
    """What gcloud calls slices that are asked for in one way, and how it says that one is there, or will not come."""

    noun: str
    state: str
    ready: str
    ended: tuple[str, ...]  # chips that were taken back do not come again under the same name


QUEUED = SliceKind("queued-resources", "state.state", "ACTIVE", ("FAILED", "SUSPENDED", "DELETING"))
AT_ONCE = SliceKind("tpu-vm", "state", "READY", ("PREEMPTED", "TERMINATED", "STOPPED", "DELETING"))


class Slice(NamedTuple):
    """A TPU slice, as gcloud's flags name it."""

    name: str
    zone: str
    project: str
    accelerator_type: str
    runtime_version: str
    at_once: bool
    spot: bool

    @property
    def kind(self) -> SliceKind:
        """Which of the two."""
        return AT_ONCE if self.at_once else QUEUED

    def describe(self) -> str:
        """A shell's line that says its state."""
        return shlex.join(self.gcloud(self.kind.noun, "describe", self.name, f"--format=value({self.kind.state})"))

    def gcloud(self, *words: str) -> tuple[str, ...]:
        """A gcloud command about it."""
        where = (f"--zone={self.zone}", *((f"--project={self.project}",) if self.project else ()))
        return ("gcloud", "compute", "tpus", *words, *where, "--quiet")

    def on_workers(self, line: str, *, worker: str = "all") -> tuple[str, ...]:
        """A shell line on its workers."""
        return self.gcloud("tpu-vm", "ssh", self.name, f"--worker={worker}", f"--command={line}")


def create(tpu: Slice) -> list[tuple[str, ...]]:
    """Asks for the slice, unless it has been asked for, and waits until it is there."""
    chips = (f"--accelerator-type={tpu.accelerator_type}", *(("--spot",) if tpu.spot else ()))
    if tpu.at_once:
        flags = (*chips, f"--version={tpu.runtime_version}")
    else:
        flags = (f"--node-id={tpu.name}", *chips, f"--runtime-version={tpu.runtime_version}")
    ask = shlex.join(tpu.gcloud(tpu.kind.noun, "create", tpu.name, *flags))
    ended = 'echo "the slice is $state: --action=delete, and then the same command again" >&2; exit 1'
    wait = (
        f"while true; do state=$({tpu.describe()}) || exit 1; "
        f'case "$state" in {tpu.kind.ready}) exit 0;; {"|".join(tpu.kind.ended)}) {ended};; esac; '
        f'echo "waiting: $state"; sleep {WAIT_SECONDS}; done'
    )
    return [("bash", "-c", f"{tpu.describe()} 2>/dev/null || {ask}"), ("bash", "-c", wait)]


def setup(tpu: Slice, archive: str, *, extras: str) -> list[tuple[str, ...]]:
    """Copies the committed source to every worker and installs it, with the OpenGL libraries that rendering needs."""
    unpack = f"mkdir -p {HOME} && tar -xzf source.tar.gz -C {HOME} && cd {HOME}"
    libraries = "libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0 libosmesa6"
    # The first start of a machine upgrades packages by itself, and holds their lock.
    install = (
        "sudo apt-get -o DPkg::Lock::Timeout=600 update -qq && "
        f"sudo DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq {libraries} && "
        f"TOOLS= EXTRAS={extras} launch/setup.sh"
    )
    return [
        tpu.on_workers(BUSY),
        ("git", "archive", "--format=tar.gz", f"--output={archive}", "HEAD"),
        tpu.gcloud("tpu-vm", "scp", archive, f"{tpu.name}:source.tar.gz", "--worker=all"),
        tpu.on_workers(f"{unpack} && {install}"),
    ]


def start(tpu: Slice, script: str) -> list[tuple[str, ...]]:
    """Copies the sweep's script to all workers and starts it, unless one is at work; this machine may go then.

    The lock is taken before the command ends, so that who asks next finds the sweep at work.
    """
    sweep = "nohup setsid bash ../sweep.sh"  # whose number is that of its group, and which inherits the lock
    detached = f"exec 9> {LOCK}; flock -n 9 || exit 1; cd {HOME}; rm -f sweep.status; "
    return [
        tpu.on_workers(BUSY),
        tpu.gcloud("tpu-vm", "scp", script, f"{tpu.name}:sweep.sh", "--worker=all"),
        tpu.on_workers(f"{detached}{sweep} > ../sweep.log 2>&1 < /dev/null &"),
    ]


def follow(tpu: Slice, *, worker: str) -> list[tuple[str, ...]]:
    """Shows the console of a worker, or of all, until the sweep has ended; the exit status is the sweep's.

    It is 1 where the sweep has ended without one: it was killed, or its host was.
    """
    status = f"{HOME}/sweep.status"
    killed = f"echo {shlex.quote(KILLED)} >&2; exit 1"
    line = (
        f"tail -n 100 -F sweep.log & until [ -s {status} ] || flock -n {LOCK} true; do sleep {FOLLOW_SECONDS}; done; "
        f'sleep {FOLLOW_SECONDS}; kill $!; [ -s {status} ] || {{ {killed}; }}; exit "$(cat {status})"'
    )
    return [tpu.on_workers(line, worker=worker)]


def stop(tpu: Slice) -> list[tuple[str, ...]]:
    """Lets the runs at work save, and ends the sweep; waits until all workers have."""
    line = f"flock -n {LOCK} true || kill -TERM -- -$(cat {PID}); flock {LOCK} true"
    return [tpu.on_workers(line)]


def collect(root: str) -> list[tuple[str, ...]]:
    """Copies the run folders, checkpoints included, here."""
    return [("gcloud", "storage", "rsync", "--recursive", root, f"runs/{root.removeprefix('gs://')}")]


def delete(tpu: Slice) -> list[tuple[str, ...]]:
    """Gives the slice back."""
    if tpu.at_once:
        return [tpu.gcloud("tpu-vm", "delete", tpu.name)]
    return [tpu.gcloud("queued-resources", "delete", tpu.name, "--force")]


def delete_idle(tpu: Slice) -> list[tuple[str, ...]]:
    """Gives the slice back if it is there and no sweep is at work on it."""
    idle = f'case "$said" in *{tpu.kind.ready}*) {shlex.join(tpu.on_workers(BUSY))};; esac'
    (give_back,) = delete(tpu)
    none = shlex.join(("echo", f"there is no slice {tpu.name} in {tpu.zone} to give back"))
    line = (
        f"if said=$({tpu.describe()} 2>&1); then {idle} && {shlex.join(give_back)}; else "
        f'case "$said" in *NOT_FOUND*) {none};; *) echo "$said" >&2; exit 1;; esac; fi'
    )
    return [("bash", "-c", line)]


def remedy(action: str, status: int) -> str:
    """What to do where ``action`` has ended with ``status``, after a colon; "" where gcloud's own words say it."""
    if (action, status) == ("follow", DISCONNECTED):
        return ": the connection is gone; --action=follow goes on with it"
    if action in ("create", "setup", "run"):
        return ": the slice, if there is one, stays and has to be paid for; --action=delete gives it back"
    return ""


def main(argv: Sequence[str]) -> int:
    """The launcher; returns its exit status, that of the first command that fails."""
    flags = options.parser(__doc__, launcher="tpu_pod")
    flags.add_argument("--action", default="", help=f"{', '.join(ACTIONS)}, or all (default: the first four)")
    flags.add_argument("--name", type=word, required=True, help="name of the slice")
    flags.add_argument("--zone", type=word, required=True)
    flags.add_argument("--project", default="", help="default: gcloud's current project")
    flags.add_argument("--accelerator_type", type=word, default="v5litepod-16")
    flags.add_argument("--runtime_version", type=word, default="v2-alpha-tpuv5-lite")
    flags.add_argument("--at_once", action="store_true", help="create a TPU VM at once, not a queued resource")
    flags.add_argument("--spot", action="store_true", help="cheaper, and may be taken away")
    flags.add_argument("--per_host", action="store_true", help="one run on each host, not one over all hosts")
    flags.add_argument("--wandb_secret", default="", help="name of the W&B key in Secret Manager")
    chosen, runs = options.parse(flags, argv)
    if chosen.action not in ("", "all", *ACTIONS):
        raise UserError(f"--action is {chosen.action!r}; use one of {', '.join(ACTIONS)}, all")
    require_shared(chosen.root, schemes=("gs",))  # which ``collect`` reads by gcloud
    tpu = Slice(*(getattr(chosen, field) for field in Slice._fields))
    wanted = {"": BY_ITSELF, "all": ALL}.get(chosen.action, (chosen.action,))
    if "run" in wanted and not chosen.per_host:
        options.require_several_hosts(runs, instead="use --per_host, or other --methods")
    if not chosen.dry_run:
        require_program("gcloud")
    if "setup" in wanted and not chosen.dry_run:
        options.require_checkout()  # now: the slice is created, and paid for, before its set-up
        require_program("git")
    if "run" in wanted:
        runs = left(runs, in_turn=True)
    if "run" in wanted and not runs:
        sys.stdout.write("nothing is left to do\n")
        wanted = tuple(action for action in wanted if action in GIVE_BACK)
    folder = hand_over_folder(dry_run=chosen.dry_run or {"setup", "run"}.isdisjoint(wanted))
    archive, script = (folder / f"{chosen.name}{ending}" for ending in (".tar.gz", ".sh"))
    steps: dict[str, list[tuple[str, ...]]] = {
        "create": create(tpu),
        "setup": setup(tpu, str(archive), extras=options.extras_for(chosen.root, "tpu")),
        "run": start(tpu, str(script)),
        "follow": follow(tpu, worker="all" if chosen.per_host else "0"),
        "stop": stop(tpu),
        "collect": collect(chosen.root),
        "delete": delete_idle(tpu) if chosen.action == "all" else delete(tpu),
    }
    worst = 0
    for action in wanted:
        if action == "run":
            text = sweep_script(runs, wandb_secret=chosen.wandb_secret, per_host=chosen.per_host)
            write_shown(script, text, dry_run=chosen.dry_run)
        for words in steps[action]:
            status = run_shown(words, dry_run=chosen.dry_run)
            if status:
                sys.stderr.write(f"{action} ended with status {status}{remedy(action, status)}\n")
                worst = status
            if status and action != "follow":  # a sweep with a failed run is still collected, and its slice given back
                return status
    return worst
