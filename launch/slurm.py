"""Runs a sweep on a SLURM cluster: ``patchail launch slurm table1 --partition=gpu --hours=24 --jobs=30``.

One array job by submitit (``pip install '.[launch]'``), a task a run. A task that is preempted or out of time saves
and queues again; the same command later submits only what has not finished and is not queued. Logs lie in
``ROOT/slurm``. The environment goes along as sbatch sends it, so that keys such as WANDB_API_KEY are in no file.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from patchail_jax.errors import UserError, one_line
from patchail_jax.launch import options
from patchail_jax.launch.local import LAUNCHED, STOPPED
from patchail_jax.launch.slurm_jobs import note, queued
from patchail_jax.launch.standing import left
from patchail_jax.launch.sweeps.sweep import command, on_platform
from patchail_jax.programs.arguments import gigabytes, hours, not_negative, optional_word, positive
from patchail_jax.programs.console import BAD_INPUT
from patchail_jax.storage.remote import local_folder

SAVE_SECONDS = 300  # between the warning and the end, for a checkpoint with a large replay
REQUEUES = 100
TRIES = 3  # of a run that crashes, which goes on from its checkpoint
POLL_SECONDS = 0.5
_OUT_OF_MEMORY = -signal.SIGKILL  # which the run would be again


class Task:
    """A run as submitit calls it: a process of its own, which is asked to save when the scheduler wants its place.

    Schedulers send SIGTERM, submitit's SIGUSR2, or both, to the task alone or to every process of it: the run is asked
    to save, as often as that may be, and the task queues again. A run that crashes is tried again in its place.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False  # to stop

    def __call__(self) -> int:
        """Runs to the end; ``RuntimeError`` names an exit status other than 0."""
        before = signal.signal(signal.SIGTERM, self._pass_on)  # submitit lets it pass
        try:
            for _ in range(TRIES):
                status = self._run()
                if status in (0, BAD_INPUT, _OUT_OF_MEMORY, *STOPPED) or self._asked:
                    break
        finally:
            signal.signal(signal.SIGTERM, before)
        if status in STOPPED and _keeps_its_place():
            signal.raise_signal(_warning())  # submitit's handler, which queues the task again and exits
        if status:
            raise RuntimeError(f"status {status}: {shlex.join(self._words)}")
        return 0

    def _run(self) -> int:
        """The run's process from its start to its end; its return code."""
        self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, preexec_fn=_ignore_warnings)
        while (status := self._process.poll()) is None:
            time.sleep(POLL_SECONDS)  # not wait(): a signal's handler could not wait for the same process
        return status

    def checkpoint(self) -> Any:
        """Called by submitit's signal handler: the run saves and stops, and what is returned is queued again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(ChildProcessError):  # it has ended, and was seen to
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Task(self._words))

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._process is not None:
            self._process.terminate()


def _ignore_warnings() -> None:
    """SLURM may send its warning to every process of a task; submitit's handler passes it on, as SIGTERM."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _warning() -> signal.Signals:
    """The signal that submitit takes for the scheduler's."""
    return signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]


def _keeps_its_place() -> bool:
    """Whether SLURM still has this task as running: it is preempted then; one that somebody cancelled is not."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return False
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):  # which is also the number of one of its tasks
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    asked = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return True  # a run too many is found finished by itself; one that is lost is found by nobody
    return said.strip() == "RUNNING"


def main(argv: Sequence[str]) -> int:
    """The launcher; returns its exit status."""
    flags = options.parser(__doc__, launcher="slurm")
    flags.add_argument(
        "--cluster", default="slurm", choices=("slurm", "local"), help="local: processes on this machine, to try"
    )
    flags.add_argument("--partition", type=optional_word, default="")
    flags.add_argument("--account", type=optional_word, default="")
    flags.add_argument("--qos", type=optional_word, default="")
    flags.add_argument("--constraint", type=optional_word, default="", help="features that a node must have")
    flags.add_argument("--exclude", type=optional_word, default="", help="nodes not to use")
    flags.add_argument("--gres", type=optional_word, default="", help="instead of --gpus, for example gpu:a100:1")
    flags.add_argument("--setup", action="append", default=[], help="a shell line before the run; may be repeated")
    flags.add_argument("--hours", type=hours, default=24.0, help="time limit of a task, which then queues again")
    flags.add_argument("--gpus", type=not_negative, default=1, help="GPUs of a run")
    flags.add_argument(
        "--cpus", type=positive, default=8, help="CPU cores of a run, for learner, environments and rendering"
    )
    flags.add_argument(
        "--memory_gb",
        type=gigabytes,
        default=64.0,
        help="memory of a run; -W, -B and LAIfO keep a million steps in replay",
    )
    flags.add_argument("--jobs", type=positive, default=64, help="runs at a time")
    flags.add_argument(
        "--python",
        type=os.path.expanduser,
        default=sys.executable,
        help="Python on the cluster's machines, which has submitit",
    )
    chosen, runs = options.parse(flags, argv)
    if 60 * _minutes(chosen) <= SAVE_SECONDS:
        raise UserError(
            f"--hours={chosen.hours:g} is no more than the {SAVE_SECONDS // 60} minutes that a task has to save in: "
            "give more"
        )
    folder, parameters = local_folder(chosen.root, LAUNCHED) / "slurm", parameters_of(chosen)
    runs = [on_platform(run, "gpu" if chosen.gres or chosen.gpus else "") for run in runs]
    runs = left(runs, queued=queued(folder, runs) if chosen.cluster == "slurm" else {})
    commands = [command(run, python=chosen.python) for run in runs]
    if chosen.dry_run:
        lines = [f"# submitit, cluster {chosen.cluster}, logs in {folder}, an array job of {len(commands)} with"]
        lines += [f"#   {name}: {value}" for name, value in sorted(parameters.items())]
        sys.stdout.write("".join(f"{line}\n" for line in [*lines, *map(shlex.join, commands)]))
        return 0
    if not commands:
        sys.stdout.write("nothing is left to do\n")
        return 0
    jobs = submit(commands, cluster=chosen.cluster, folder=str(folder), python=chosen.python, parameters=parameters)
    note(folder, runs, [job.job_id for job in jobs])
    for job in jobs:
        sys.stdout.write(f"{job.job_id}  {job.paths.stdout}\n")
    return 0


def _minutes(chosen: Any) -> int:
    """The time limit of a task."""
    return int(60 * chosen.hours)


def parameters_of(chosen: Any) -> dict[str, Any]:
    """The flags as submitit names them."""
    parameters = {
        "name": f"patchail_{chosen.sweep}",
        "timeout_min": _minutes(chosen),
        "gpus_per_node": "" if chosen.gres else chosen.gpus or "",
        "cpus_per_task": chosen.cpus,
        "mem_gb": chosen.memory_gb,
        "slurm_array_parallelism": chosen.jobs,
        "slurm_signal_delay_s": SAVE_SECONDS,
        "slurm_partition": chosen.partition,
        "slurm_account": chosen.account,
        "slurm_qos": chosen.qos,
        "slurm_constraint": chosen.constraint,
        "slurm_exclude": chosen.exclude,
        "slurm_gres": chosen.gres,
        "slurm_setup": chosen.setup or "",
        "slurm_srun_args": [f"--cpus-per-task={chosen.cpus}"],  # since 22.05 srun has one CPU unless it is told
        "slurm_additional_parameters": {"requeue": True},  # whatever the cluster's default
    }
    return {name: value for name, value in parameters.items() if value != ""}


def submit(
    commands: Sequence[Sequence[str]], *, cluster: str, folder: str, python: str, parameters: dict[str, Any]
) -> Sequence[Any]:
    """submitit's jobs, one a command, in the order of the commands; ``python`` runs them on the cluster.

    ``UserError`` without submitit or SLURM, and where SLURM does not take them.
    """
    try:
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError
    except ImportError as error:
        raise UserError("submitit is missing: pip install '.[launch]'") from error
    try:
        executor = submitit.AutoExecutor(
            folder=folder, cluster=cluster, slurm_max_num_timeout=REQUEUES, slurm_python=shlex.join([python])
        )
    except RuntimeError as error:
        raise UserError(f"no SLURM here ({error}); submit from a login node, or try --cluster=local") from error
    executor.update_parameters(**parameters)
    try:
        with executor.batch():
            return [executor.submit(Task(words)) for words in commands]
    except FailedSubmissionError as error:
        raise UserError(
            f"sbatch's answer names no job ({one_line(error, 200)}): it may have taken the runs all the same; "
            "look with squeue before you try again"
        ) from error
    except (FailedJobError, OSError) as error:
        said = " ".join(str(error).split()) or "it said nothing"
        raise UserError(f"sbatch does not take the runs: {said}") from error
