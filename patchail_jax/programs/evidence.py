"""Measures this machine, then trains the next of the paper's runs: ``make evidence``, or ``patchail evidence``.

The doctor checks the machine and ``bench`` measures updates per second. Then it resumes a run that was begun here, or
starts the first run of its list (``QUESTIONS``) that the results lack, and gathers its results. Each step is a process
of its own, so a crash loses that step alone. A run that is out of time saves itself, and the same command resumes it.
"""

import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.programs.arguments import Arguments, output_folder, positive
from patchail_jax.programs.command_line import parse
from patchail_jax.programs.interruption import Interruption
from patchail_jax.storage import run_names

# In order of worth.
COMPARED = (
    "patchail",
    "patchail_w",
    "patchail_b",
    "drqv2",
    "shared_encoder_ail",
    "independent_encoder_ail",
    "bc",
    "rot",
    "laifo",
    "bco",
)
CONFIGS = ("finger", "cartpole", "walker_walk", "cheetah", "hopper", "walker_stand", "quadruped")
# How a run is made on a machine with a GPU and some cores; nothing that it computes but for the order of its draws.
SETTINGS = (
    "--config.env.num_envs=8",
    "--config.replay.updates_per_call=4",
    "--config.evaluation.num_envs=10",
    "--config.log.films=False",
    "--config.log.wandb_mode=disabled",
)
BENCH_SHARE = 0.3  # of the minutes, at the most
SAVING_SECONDS = 90.0  # that a run has to save itself in, of the minutes too


class Question(NamedTuple):
    """What runs of the paper's configuration, or of one that differs in a field, are to show."""

    folder: str  # of the results, and of the runs
    runs: tuple[str, ...]  # names of configs with their methods
    overrides: tuple[str, ...] = ()


QUESTIONS = (
    Question("paper", ("finger:patchail",)),
    # Which penalty should be the default? By samples is the paper's, by channels the published program's.
    Question("penalty_by_channels", ("finger:patchail",), ("--config.discriminator.penalty_groups=channels",)),
    Question("paper", tuple(f"{task}:{method}" for method in COMPARED for task in CONFIGS)),
)


class _Choice(NamedTuple):
    """A run to be made: the words of its config, its folder, and the folder of its result."""

    words: list[str]
    folder: Path
    results: Path


def main(argv: Sequence[str]) -> int:
    """Takes ``--minutes``; the exit status is that of the doctor or the run, 0 for a run that was out of time."""
    flags = Arguments(prog="patchail evidence", description=__doc__, allow_abbrev=False)
    flags.add_argument("--minutes", type=positive, default=25, help="minutes for everything (default 25)")
    flags.add_argument(
        "--output", type=output_folder, default=Path("results"), help="folder of the results (default results)"
    )
    flags.add_argument(
        "--runs", type=output_folder, default=Path("runs/evidence"), help="folder of the runs (%(default)s)"
    )
    options, overrides = flags.parse_known_args(argv)
    ends = time.monotonic() + 60 * options.minutes
    words, folder, place = _choose(options.output, options.runs, overrides)
    measured = options.output / "paper"
    measured.mkdir(parents=True, exist_ok=True)
    _say(f"{words[0].partition('=')[2]}, in {folder}")
    if status := _call("doctor", *words):
        return status
    machine = _bench(measured, words, seconds=60 * options.minutes * BENCH_SHARE)
    command = ["train", *words]
    try:
        return _train(command, seconds=ends - time.monotonic() - SAVING_SECONDS)
    finally:
        _gather(folder, place, command=shlex.join(["patchail", *command]), machine=machine)


def _choose(results: Path, runs: Path, overrides: Sequence[str]) -> _Choice:
    """The first run, in order of worth, that was begun here and has not ended, else that nobody has made yet."""
    choices = []
    for question in QUESTIONS:
        for name in question.runs:
            asked = [*SETTINGS, *question.overrides, *overrides]
            config = parse(["patchail evidence", f"--config={name}", *asked]).config
            place = Path(question.folder) / config.env.task / config.method / f"seed_{config.seed}"
            folder = runs / place
            words = [f"--config={name}", *asked, f"--config.run_folder={folder}"]
            choice = _Choice(words, folder, results / question.folder)
            if (folder / run_names.CONFIG).exists() and not (folder / run_names.FINISHED).exists():
                return choice
            if not (results / place).with_suffix(".csv").exists():
                choices.append(choice)
    if not choices:
        raise UserError(f"{results} has every run already; --config.seed=1 makes those of another seed")
    return choices[0]


def _bench(results: Path, words: Sequence[str], *, seconds: float) -> str:
    """Measures for so long at most, into a file named after the machine; the machine in words.

    "" where the device was not measured: the run's folder says its machine too.
    """
    unnamed = results / "bench.json"
    unnamed.unlink(missing_ok=True)
    _call("bench", *words, f"--output={unnamed}", seconds=seconds)
    found = json.loads(unnamed.read_text()) if unnamed.exists() else {}
    if "device" not in found:
        unnamed.unlink(missing_ok=True)
        return ""
    named = results / f"bench_{'_'.join(found['device'].lower().split())}.json"
    if "loop_steps_per_second" in found or not named.exists():  # the last case: a part does not replace all of them
        unnamed.replace(named)
    unnamed.unlink(missing_ok=True)
    return f"{found['devices']} x {found['device']}, {os.cpu_count()} CPU cores"


def _train(command: Sequence[str], *, seconds: float) -> int:
    """Makes the run until it ends or is out of time."""
    status = _call(*command, seconds=max(seconds, 1.0))
    return 0 if status in (128 + signal.SIGTERM, -signal.SIGTERM) else status


def _gather(folder: Path, place: Path, *, command: str, machine: str) -> None:
    from patchail_jax.reports.results import gather, write_table
    from patchail_jax.reports.runs import read_run

    if not (folder / run_names.CONFIG).exists():
        return  # the run was refused before it began, and has said why
    run = read_run(folder)
    if not len(run.frames):
        _say("the run has no evaluation yet; the same command resumes it")
        return
    gather([run], place, command=command, machine=machine)
    *_, table = write_table(place.parent)
    _say(f"{run.task}, {run.method}: {run.state()}; the results are in {table}")


def _call(*words: str, seconds: float | None = None) -> int:
    """``patchail WORDS``; its exit status. What takes more than ``seconds`` is asked to stop, as by a scheduler.

    A stop of this program is handed on, once: a second signal would end a run before it has saved.
    ``KeyboardInterrupt`` when it has ended, with the signal's number if it says that it has saved.
    """
    ends = time.monotonic() + (math.inf if seconds is None else seconds)
    with Interruption() as interruption:
        process = subprocess.Popen([sys.executable, "-m", "patchail_jax", *words], start_new_session=True)
        while time.monotonic() < ends and not interruption.signal_number:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(0.2)
        process.terminate()
        status = process.wait()
    if interruption.signal_number:
        saved = (interruption.signal_number,) if status == 128 + signal.SIGTERM else ()
        raise KeyboardInterrupt(*saved)
    return status


def _say(line: str) -> None:
    sys.stdout.write(f"evidence: {line}\n")
    sys.stdout.flush()
