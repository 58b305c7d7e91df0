"""Runs a sweep on a SLURM cluster: ``patchail launch slurm table1 --partition=gpu --hours=24 --jobs=30``.

One array job by submitit (``pip install -e .[launch]``), a task a run. A task that is preempted or out of time saves
and queues again; the same command later submits only what has not finished. Logs lie in ``ROOT/slurm``. The environment
goes along as sbatch sends it, so that keys such as WANDB_API_KEY are in no file.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.launch import options
from patchail_jax.launch.local import LAUNCHED, is_finished
from patchail_jax.launch.sweeps.sweep import command, shell_line
from patchail_jax.storage.remote import local_folder

SAVE_SECONDS = 300  # between the warning and the end, for a checkpoint with a large replay
REQUEUES = 100
POLL_SECONDS = 0.5


class Task:
    """A run as submitit calls it: a process of its own, which is asked to save when the scheduler wants its place."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Runs to the end; ``RuntimeError`` names an exit status other than 0."""
        self._process = subprocess.Popen(self._words, stdin=subprocess.DEVNULL, preexec_fn=_ignore_warnings)
        while self._process.poll() is None:
            time.sleep(POLL_SECONDS)  # not wait(): a signal's handler could not wait for the same process
        if self._process.returncode:
            raise RuntimeError(f"status {self._process.returncode}: {shell_line(self._words)}")
        return 0

    def checkpoint(self) -> Any:
        """Called by submitit's signal handler: the run saves and stops, and what is returned is queued again."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            self._process.terminate()
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        return DelayedSubmission(Task(self._words))


def _ignore_warnings() -> None:
    """SLURM may send its warning to every process of a task; submitit's handler passes it on, as SIGTERM."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def main(argv: Sequence[str]) -> int:
    """The launcher; returns its exit status."""
    flags = options.parser(__doc__, launcher="slurm")
    flags.add_argument("--cluster", default="slurm", choices=("slurm", "local"), help="local: processes here, to try")
    flags.add_argument("--partition", default="")
    flags.add_argument("--account", default="")
    flags.add_argument("--hours", type=float, default=24.0, help="of one task; it queues again when they are over")
    flags.add_argument("--gpus", type=int, default=1, help="of a run")
    flags.add_argument("--cpus", type=int, default=8, help="of a run: learner, environments and rendering")
    flags.add_argument("--memory_gb", type=float, default=64.0, help="of a run; -W, -B and LAIfO keep a million frames")
    flags.add_argument("--jobs", type=int, default=64, help="runs at a time")
    flags.add_argument("--python", default=sys.executable, help="the interpreter, on the cluster's machines")
    chosen, runs = options.parse(flags, argv)
    commands = [command(run, python=chosen.python) for run in runs if not is_finished(run)]
    folder, parameters = str(local_folder(chosen.root, LAUNCHED) / "slurm"), parameters_of(chosen)
    if chosen.dry_run:
        lines = [f"# submitit, cluster {chosen.cluster}, logs in {folder}, an array job of {len(commands)} with"]
        lines += [f"#   {name}: {value}" for name, value in sorted(parameters.items())]
        sys.stdout.write("".join(f"{line}\n" for line in [*lines, *map(shell_line, commands)]))
        return 0
    if not commands:
        sys.stdout.write("nothing is left to do\n")
        return 0
    for job in submit(commands, cluster=chosen.cluster, folder=folder, parameters=parameters):
        sys.stdout.write(f"{job.job_id}  {job.paths.stdout}\n")
    return 0


def parameters_of(chosen: Any) -> dict[str, Any]:
    """The flags as submitit names them."""
    parameters = {
        "name": f"patchail_{chosen.sweep}",
        "timeout_min": int(60 * chosen.hours),
        "gpus_per_node": chosen.gpus,
        "cpus_per_task": chosen.cpus,
        "mem_gb": chosen.memory_gb,
        "slurm_array_parallelism": chosen.jobs,
        "slurm_signal_delay_s": SAVE_SECONDS,
        "slurm_partition": chosen.partition,
        "slurm_account": chosen.account,
    }
    return {name: value for name, value in parameters.items() if value != ""}


def submit(
    commands: Sequence[Sequence[str]], *, cluster: str, folder: str, parameters: dict[str, Any]
) -> Sequence[Any]:
    """submitit's jobs, one a command, in the order of the commands. ``UserError`` without submitit or SLURM."""
    try:
        import submitit
    except ImportError as error:
        raise UserError("submitit is missing: pip install -e .[launch]") from error
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, slurm_max_num_timeout=REQUEUES)
    except RuntimeError as error:
        raise UserError(f"no SLURM here ({error}); submit from a login node, or try --cluster=local") from error
    executor.update_parameters(**parameters)
    with executor.batch():
        return [executor.submit(Task(words)) for words in commands]
