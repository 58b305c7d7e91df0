"""Runs a sweep on this machine, some at a time: ``patchail launch local figure6a --jobs=2``.

Skips runs that have finished, goes on with those that have begun, and tries those that crash again. Each writes what it
says to ``console.log`` in its run folder; for one on object storage, under ``launched`` in the cache folder. Ctrl-C
stops all of them, saved; the same command goes on.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.launch import options
from patchail_jax.launch.sweeps.sweep import PlannedRun, command, shell_line
from patchail_jax.launch.table import Row, Table, read_progress
from patchail_jax.programs.interruption import Interruption
from patchail_jax.storage.remote import finished_frames, local_folder

LAUNCHED = "launched"  # where in the cache folder launchers keep what they write, where the run folder is remote
POLL_SECONDS = 0.5
STOP_SECONDS = 600.0  # to finish an update, an evaluation and a checkpoint of a large replay
LEAST_PRIORITY = 19
BAD_INPUT = 2  # the program's exit status; trying again would say the same
SAVED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # somebody asked it to save and stop


@dataclass
class Job:
    """A run, and how far this program has come with it."""

    run: PlannedRun
    status: str = "waiting"  # "running", "finished", "crashed" (to be tried again), "failed", "refused", "stopped"
    tries: int = 0
    slot: int = 0
    process: "subprocess.Popen[bytes] | None" = None


class Jobs:
    """Starts and ends processes; ``advance`` is called again and again until it says that nothing is left to do."""

    def __init__(self, jobs: list[Job], places: Sequence["Place"], *, python: str, retries: int) -> None:
        self.jobs = jobs
        self._places, self._python, self._retries = places, python, retries
        self._free = list(range(len(places)))[::-1]
        self._stopping = False

    def advance(self) -> bool:
        """Takes in what has ended, and starts what there is room for; whether anything runs or waits."""
        for job in self.jobs:
            if job.process is not None and job.process.poll() is not None:
                self._end(job, job.process.returncode)
        for job in self.jobs:
            if self._free and not self._stopping and job.status in ("waiting", "crashed"):
                self._start(job)
        return any(job.status in ("waiting", "running", "crashed") for job in self.jobs)

    def stop(self, number: int) -> None:
        """Sends ``number`` to everything that runs; nothing is started any more."""
        self._stopping = True
        for job in self.jobs:
            if job.process is not None:
                job.process.send_signal(number)
            elif job.status in ("waiting", "crashed"):
                job.status = "stopped"

    def _start(self, job: Job) -> None:
        folder = local_folder(job.run.folder, LAUNCHED)
        folder.mkdir(parents=True, exist_ok=True)
        job.slot, job.tries, job.status = self._free.pop(), job.tries + 1, "running"
        place = self._places[job.slot]
        with (folder / "console.log").open("ab") as log:
            job.process = subprocess.Popen(
                command(job.run, python=self._python),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its own modules and packages, not files of the same names in the folder that one is in.
                env={**os.environ, "PYTHONSAFEPATH": "1", **place.environment},
                start_new_session=True,  # a terminal's Ctrl-C comes here alone
            )
        place.take(job.process.pid)

    def _end(self, job: Job, code: int) -> None:
        self._free.append(job.slot)
        job.process = None
        if code == 0:
            job.status = "finished"
        elif code == BAD_INPUT:
            job.status = "refused"
        elif self._stopping or code in SAVED:
            job.status = "stopped"
        else:
            job.status = "crashed" if job.tries <= self._retries else "failed"


class Place(NamedTuple):
    """What a run that runs beside others has for itself: a GPU, some cores; ``idle`` gives way to all else."""

    gpu: str = ""
    cores: frozenset[int] = frozenset()
    idle: bool = False

    @property
    def environment(self) -> Mapping[str, str]:
        """What a run here finds in its environment beside this program's."""
        return {"CUDA_VISIBLE_DEVICES": self.gpu} if self.gpu else {}

    def take(self, process: int) -> None:
        """Puts a process here that has just begun, with all that it will start."""
        with contextlib.suppress(ProcessLookupError):  # it has ended: its status will be looked at
            if self.cores:
                os.sched_setaffinity(process, self.cores)
            if self.idle:
                os.setpriority(os.PRIO_PROCESS, process, LEAST_PRIORITY)

    def __str__(self) -> str:
        parts = [f"{name}={value}" for name, value in self.environment.items()]
        parts += [f"cores {','.join(map(str, sorted(self.cores)))}"] * bool(self.cores)
        return "; ".join([*parts, *["idle priority"] * self.idle])


def make_places(count: int, *, gpus: Sequence[str], cores: int, idle: bool) -> list[Place]:
    """A place for each of ``count`` runs at a time; ``UserError`` where there are no ``cores`` for each of them."""
    if count < 1:
        raise UserError(f"--jobs is {count}; at least one run must go at a time")
    if cores < 0:
        raise UserError(f"--cores is {cores}; give a run cores of its own, or 0 for all to share")
    if cores and not hasattr(os, "sched_setaffinity"):
        raise UserError("--cores needs Linux: this system gives no cores to programs")
    here = sorted(os.sched_getaffinity(0)) if cores else []
    if count * cores > len(here):
        raise UserError(f"--jobs={count} with --cores={cores} needs {count * cores} cores; there are {len(here)}")
    dealt = [frozenset(here[slot * cores : (slot + 1) * cores]) for slot in range(count)]
    return [Place(gpus[slot % len(gpus)] if gpus else "", dealt[slot], idle) for slot in range(count)]


def is_finished(run: PlannedRun) -> bool:
    """Whether the run's folder says that it has come to the frames now asked for."""
    return finished_frames(run.folder) >= options.config_of(run).num_frames


def work(jobs: Jobs, table: Table) -> int:
    """All jobs to their end; the exit status: 0, 1 where one did not finish, 128 + signal after a signal."""
    asked, stop_at = False, float("inf")
    try:
        with Interruption() as interruption:
            while jobs.advance():
                if interruption.signal_number is not None and not asked:
                    jobs.stop(signal.SIGTERM)
                    asked, stop_at = True, time.monotonic() + STOP_SECONDS
                    table.say("stopping: runs are saving; once more to kill them")
                if time.monotonic() > stop_at:
                    jobs.stop(signal.SIGKILL)
                table.show([_row(job) for job in jobs.jobs])
                time.sleep(POLL_SECONDS)
    finally:
        jobs.stop(signal.SIGKILL)
    table.show([_row(job) for job in jobs.jobs])
    if interruption.signal_number is not None:
        return 128 + interruption.signal_number
    return int(any(job.status != "finished" for job in jobs.jobs))


def _row(job: Job) -> Row:
    frame, score = read_progress(local_folder(job.run.folder))
    return Row(job.run.name, job.status, job.tries, frame, score)


def main(argv: Sequence[str]) -> int:
    """The launcher; returns its exit status."""
    flags = options.parser(__doc__, launcher="local")
    flags.add_argument("--jobs", type=int, default=1, help="runs at a time")
    flags.add_argument("--retries", type=int, default=3, help="how often a crashed run is tried again")
    flags.add_argument("--gpus", default="", help="CUDA devices, dealt out to the runs at a time: 0,1,2,3")
    flags.add_argument("--cores", type=int, default=0, help="CPU cores for each run alone, 0 for all to share")
    flags.add_argument("--idle", action="store_true", help="at the least priority: all else on the machine goes first")
    flags.add_argument("--python", default=sys.executable, help="the interpreter")
    chosen, runs = options.parse(flags, argv)
    gpus = [gpu for gpu in chosen.gpus.split(",") if gpu]
    places = make_places(chosen.jobs, gpus=gpus, cores=chosen.cores, idle=chosen.idle)
    jobs = [Job(run, "finished" if is_finished(run) else "waiting") for run in runs]
    if chosen.dry_run:
        sys.stdout.write(f"# {chosen.jobs} at a time\n")
        for slot, place in enumerate(places):
            sys.stdout.write(f"# place {slot}: {place}\n" if str(place) else "")
        for job in jobs:
            line = shell_line(command(job.run, python=chosen.python))
            sys.stdout.write(f"# finished: {job.run.name}\n" if job.status == "finished" else f"{line}\n")
        return 0
    return work(Jobs(jobs, places, python=chosen.python, retries=chosen.retries), Table(sys.stdout))
