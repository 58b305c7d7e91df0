"""Runs a sweep on this machine, some at a time: ``patchail launch local figure6a --jobs=2``.

Skips runs that have finished, goes on with those that have begun, and tries those that crash again; one that another
launcher has at work is waited for. Each writes what it says to ``console.log`` in its run folder; for one on object
storage, under ``launched`` in the cache folder. Ctrl-C saves and stops all of them; the same command resumes.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchail_jax.errors import UserError
from patchail_jax.launch import options
from patchail_jax.launch.places import Place, cards, make_places, require_memory_together
from patchail_jax.launch.standing import FINISHED, GOING_ON, standing, standings
from patchail_jax.launch.sweeps.sweep import PlannedRun, command, on_platform
from patchail_jax.launch.table import LiveTable, Row, last_words, read_progress
from patchail_jax.programs.arguments import not_negative, positive
from patchail_jax.programs.console import BAD_INPUT, SAVED
from patchail_jax.programs.interruption import Interruption
from patchail_jax.storage.remote import local_folder

LAUNCHED = "launched"  # where in the cache folder launchers keep what they write, where the run folder is remote
POLL_SECONDS = 0.5
LOOK_SECONDS = 5.0  # between two looks at a run that another launcher has at work
STOP_SECONDS = 600.0  # to finish an update, an evaluation and a checkpoint of a large replay
STOPPING = "stopping: waiting for runs to save (Ctrl-C again to kill them)"
KILL_SECONDS = 10.0  # for a process to be gone that has been killed
STOPPED = (*SAVED, *(128 - status for status in SAVED))  # return codes of a run that was asked to: saved, or at once
STATUS = {FINISHED: "finished", GOING_ON: "elsewhere"}  # of a job, by how its run stands; else it waits


@dataclass
class Job:
    """A run, and how far this program has come with it."""

    run: PlannedRun
    # "running", "finished", "crashed" (to be tried again), "failed", "refused", "stopped", "elsewhere" (at work there)
    status: str = "waiting"
    tries: int = 0
    slot: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    looked: float = 0.0  # when, at one that is at work elsewhere
    log_start: int = 0  # where in the log its last start begins
    words: str = ""  # what is to be said of how it ended

    @property
    def log(self) -> Path:
        """What the run says."""
        return local_folder(self.run.folder, LAUNCHED) / "console.log"


class Jobs:
    """Starts and ends processes; ``advance`` is called again and again until it says that nothing is left to do."""

    def __init__(self, jobs: list[Job], places: Sequence[Place], *, python: str, retries: int) -> None:
        self.jobs = jobs
        self._places, self._python, self._retries = places, python, retries
        self._free = list(range(len(places)))[::-1]
        self._stopping = False

    def advance(self) -> bool:
        """Takes in what has ended, and starts what there is room for; whether anything runs or waits."""
        for job in self.jobs:
            if job.process is not None and job.process.poll() is not None:
                self._end(job, job.process.returncode)
            elif job.status == "elsewhere" and time.monotonic() - job.looked > LOOK_SECONDS:
                _look(job)
        for job in self.jobs:
            if self._free and not self._stopping and job.status in ("waiting", "crashed"):
                _look(job)  # another launcher may have had its turn with it
                if job.status in ("waiting", "crashed"):
                    self._start(job)
        going = ("running",) if self._stopping else ("waiting", "running", "crashed", "elsewhere")
        return any(job.status in going for job in self.jobs)

    def stop(self, number: int) -> None:
        """Sends ``number`` to everything that runs; nothing is started any more."""
        self._stopping = True
        for job in self.jobs:
            if job.process is not None:
                job.process.send_signal(number)
            elif job.status in ("waiting", "crashed"):
                job.status = "stopped"

    def end(self, number: int, seconds: float) -> None:
        """Sends ``number`` to everything that runs, and waits for it so long; nothing is started any more."""
        self.stop(number)
        until = time.monotonic() + seconds
        for job in self.jobs:
            if job.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._end(job, job.process.wait(max(until - time.monotonic(), 0.0)))

    def _start(self, job: Job) -> None:
        """Starts a run in a free place; one whose folder or program cannot be used is refused, and the others go on."""
        place = self._places[self._free[-1]]
        try:
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with job.log.open("ab") as log:
                job.log_start = log.tell()
                job.process = subprocess.Popen(
                    command(job.run, python=self._python),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    # Its own modules and packages, not files of the same names in the folder that one is in.
                    env={**os.environ, "PYTHONSAFEPATH": "1", **place.environment},
                    start_new_session=True,  # a terminal's Ctrl-C and its end come here alone
                )
        except OSError as error:
            job.status, job.words = "refused", f"{job.run.name} cannot be started: {error.strerror}: {error.filename}"
            return
        job.slot, job.tries, job.status = self._free.pop(), job.tries + 1, "running"
        place.take(job.process.pid)

    def _end(self, job: Job, code: int) -> None:
        self._free.append(job.slot)
        job.process = None
        if code == 0:
            job.status = "finished"
        elif code in STOPPED or (self._stopping and code == -signal.SIGKILL):
            job.status = "stopped"
            if code == -signal.SIGKILL:
                job.words = (
                    f"{job.run.name} was killed before it had saved: the next start resumes from its last checkpoint"
                )
        elif code == BAD_INPUT and (found := _status(job.run)) != "waiting":  # another launcher was quicker
            job.status, job.tries = found, job.tries - 1
        else:
            again = code != BAD_INPUT and job.tries <= self._retries and not self._stopping
            job.status = "refused" if code == BAD_INPUT else "crashed" if again else "failed"
            how = "is refused" if code == BAD_INPUT else f"ended with {describe(code)}{', and is tried again' * again}"
            job.words = f"{job.run.name} {how}: {last_words(job.log, job.log_start)} (all it said: {job.log})"


def describe(code: int) -> str:
    """A process's return code in words: ``status 1``, or the name of the signal that killed it."""
    return f"status {code}" if code >= 0 else signal.Signals(-code).name


def _status(run: PlannedRun) -> str:
    """The status of a job by how its run stands; what cannot be asked waits: the run says why when it is started."""
    try:
        return STATUS.get(standing(run), "waiting")
    except UserError:
        return "waiting"


def _look(job: Job) -> None:
    """Asks the run's folder how it stands; one that has crashed here, and waits, stays so."""
    job.looked = time.monotonic()
    found = _status(job.run)
    if (job.status, found) != ("crashed", "waiting"):
        job.status = found


def work(jobs: Jobs, table: LiveTable) -> int:
    """All jobs to their end; the exit status: 0, 1 where one did not finish, 128 + signal after a signal.

    What goes wrong here costs no run its work: all are asked to save before the error is raised.
    """
    asked, stop_at = False, float("inf")
    rows = {job.run.name: _row(job) for job in jobs.jobs}
    with Interruption() as interruption:
        try:
            while jobs.advance():
                if interruption.signal_number is not None and not asked:
                    jobs.stop(signal.SIGTERM)
                    asked, stop_at = True, time.monotonic() + STOP_SECONDS
                    table.say(STOPPING)
                if time.monotonic() > stop_at:
                    jobs.stop(signal.SIGKILL)
                _show(jobs, table, rows)
                time.sleep(POLL_SECONDS)
        except Exception:
            table.say(STOPPING)
            jobs.end(signal.SIGTERM, STOP_SECONDS)
            raise
        finally:
            jobs.end(signal.SIGKILL, KILL_SECONDS)
            _show(jobs, table, rows)
            table.close(list(rows.values()))
    if interruption.signal_number is not None:
        return 128 + interruption.signal_number
    return int(any(job.status != "finished" for job in jobs.jobs))


def _show(jobs: Jobs, table: LiveTable, rows: dict[str, Row]) -> None:
    """The table as it is now; ``rows`` are brought up to date, of runs that something happens to."""
    for job in jobs.jobs:
        before = rows[job.run.name]
        if job.status in ("running", "elsewhere") or (job.status, job.tries) != (before.status, before.tries):
            rows[job.run.name] = _row(job)
        if job.words:
            table.say(job.words)
            job.words = ""
    table.show(list(rows.values()))


def _row(job: Job) -> Row:
    frame, score = read_progress(local_folder(job.run.folder))
    return Row(job.run.name, job.status, job.tries, frame, options.frames_of(job.run), score)


def main(argv: Sequence[str]) -> int:
    """The launcher; returns its exit status."""
    flags = options.parser(__doc__, launcher="local")
    flags.add_argument("--jobs", type=positive, default=1, help="runs at a time")
    flags.add_argument("--retries", type=not_negative, default=3, help="how often a crashed run is tried again")
    flags.add_argument("--gpus", type=cards, default=(), help="CUDA devices that the runs share, for example 0,1,2,3")
    flags.add_argument(
        "--cores", type=not_negative, default=0, help="CPU cores reserved for each run; 0: all share all"
    )
    flags.add_argument("--idle", action="store_true", help="lowest priority: all other programs go first")
    flags.add_argument("--python", type=os.path.expanduser, default=sys.executable, help="Python to run with")
    chosen, runs = options.parse(flags, argv)
    places = make_places(chosen.jobs, gpus=chosen.gpus, cores=chosen.cores, idle=chosen.idle)
    runs = [on_platform(run, "gpu" if chosen.gpus else "") for run in runs]
    found = standings(runs)
    jobs = [Job(run, STATUS.get(found[run.name], "waiting"), looked=time.monotonic()) for run in runs]
    if chosen.dry_run:
        sys.stdout.write(f"# {chosen.jobs} at a time\n")
        for slot, place in enumerate(places):
            sys.stdout.write(f"# place {slot}: {place}\n" if str(place) else "")
        for job in jobs:
            line = shlex.join(command(job.run, python=chosen.python))
            sys.stdout.write(f"{line}\n" if job.status == "waiting" else f"# {job.status}: {job.run.name}\n")
        return 0
    if shutil.which(chosen.python) is None:
        raise UserError(f"--python is {chosen.python!r}, which is no program: name the Python to run with")
    require_memory_together([job.run for job in jobs if job.status == "waiting"], at_once=chosen.jobs)
    return work(Jobs(jobs, places, python=chosen.python, retries=chosen.retries), LiveTable(sys.stdout))
