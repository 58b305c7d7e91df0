"""Kills a small run again and again, wherever it may be, and compares its end with that of a run nobody disturbed.

``python -m tests.faults.kills rot --kills=50``: each kill is a SIGKILL at a random moment in a phase of the run that is
drawn too. A run that comes to its end is compared (logs, evaluations, files, every array of the last checkpoint) and
the next one begins, until all kills are made; the last one is let go to its end. Prints a line a kill and, last, what
was done as JSON; status 1 where two ends differ or a start fails.

Runs are children of a fork, so that a start takes no import; what they compile, all find in one cache.
"""

import argparse
import json
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patchail_jax.envs.rendering import choose_backend
from tests.devices.forked import say_into
from tests.xla_flags import FAST_COMPILE

METHODS = ("patchail", "rot", "bc")
PHASES = (
    "set-up", "resume", "pre-training", "acting", "update", "evaluation", "saving", "logging", "pictures", "finishing"
)  # fmt: skip
OWN = {
    "patchail": ["--config.num_frames=480", "--config.checkpoint.every_frames=120"],
    "rot": [
        "--config.num_frames=200",
        "--config.cloning.pretraining_updates=24",
        "--config.checkpoint.every_updates=8",
    ],
    "bc": ["--config.num_frames=200"],
}
SHORT = ["--config.checkpoint.every_frames=60", "--config.evaluation.every_frames=100", "--config.log.every_updates=10"]
PATIENCE = 600  # seconds for one start
LATEST = 12  # entry into a phase at which a run is killed: the next start goes on from there, so all are come to


class Phases:
    """How often a run has entered each phase and how long it was there, in memory that it shares with its parent."""

    def __init__(self) -> None:
        self.now, self.entered, self.seconds = np.frombuffer(mmap.mmap(-1, 24 * len(PHASES)), np.float64).reshape(3, -1)

    def clear(self):
        for row in (self.now, self.entered, self.seconds):
            row[:] = 0

    def watch(self, phase, owner, name):
        """Counts the calls of ``owner.name`` as ``phase``."""
        number, function = PHASES.index(phase), getattr(owner, name)

        def counted(*arguments, **named):
            self.now[number] += 1
            self.entered[number] += 1
            began = time.monotonic()
            try:
                return function(*arguments, **named)
            finally:
                self.now[number] -= 1
                self.seconds[number] += time.monotonic() - began

        setattr(owner, name, counted)

    def said(self):
        """The phases that the run is in, inner ones last."""
        return "+".join(phase for phase, inside in zip(PHASES, self.now, strict=True) if inside) or "between"


class Moment(NamedTuple):
    """When to kill: so many seconds after a phase was entered for the n-th time."""

    phase: int
    entry: int
    seconds: float


class Victim:
    """One run in a folder, started as often as it takes."""

    def __init__(self, method, folder, cache, phases):
        self.method, self.folder, self.cache, self.phases = method, folder, cache, phases

    def start(self, moment=None):
        """Whether the run came to its end before ``moment``, at which it is killed. ``SystemExit`` if it failed."""
        self.phases.clear()
        child = fork(self._train, self.folder.with_suffix(".txt"))
        until = time.monotonic() + PATIENCE
        while not (status := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.kill(child, signal.SIGKILL)
                raise SystemExit(f"{self.folder} did not come to its end in {PATIENCE} seconds")
            if moment is not None and self.phases.entered[moment.phase] >= moment.entry:
                time.sleep(moment.seconds)
                said = self.phases.said()
                os.kill(child, signal.SIGKILL)
                status = os.waitpid(child, 0)
                self.last = said
                break
            time.sleep(0.001)
        if os.WIFSIGNALED(status[1]):
            return False
        if status[1]:
            raise SystemExit(f"a start in {self.folder} failed:\n{self.folder.with_suffix('.txt').read_text()}")
        return True

    def _train(self):
        from patchail_jax import loop
        from patchail_jax.acting.actors import Actors
        from patchail_jax.outputs.metrics import Metrics
        from patchail_jax.programs.command_line import parse
        from patchail_jax.programs.console import show_log
        from patchail_jax.programs.train import train
        from patchail_jax.run import parts, summary
        from patchail_jax.run.evaluations import Evaluations
        from patchail_jax.run.learner import Learner
        from patchail_jax.run.snapshot import Snapshot
        from patchail_jax.storage.checkpoints import Checkpoints
        from patchail_jax.storage.run_folder import RunFolder
        from tests.test_train import arguments

        for phase, owner, name in (
            ("set-up", parts, "build"),
            ("resume", Snapshot, "restore"),
            ("pre-training", loop, "pretrain"),
            ("acting", Actors, "step"),
            ("update", Learner, "update"),
            ("evaluation", Evaluations, "_score"),
            ("saving", Checkpoints, "save"),
            ("logging", Metrics, "_write"),
            ("pictures", summary, "write_summary"),
            ("finishing", RunFolder, "finish"),
        ):
            self.phases.watch(phase, owner, name)
        show_log(sys.stdout)
        words = [*SHORT, *OWN[self.method], "--config.log.picture=True"]
        train(parse(arguments(self.folder, self.cache, *words, method=self.method)).config)

    def same_as(self, other):
        """``SystemExit`` where the ends of the two runs differ."""
        log = self.folder.with_suffix(".differs")
        _, status = os.waitpid(fork(lambda: assert_same_end(self.folder, other.folder), log), 0)
        if status:
            raise SystemExit(f"{self.folder} and {other.folder} differ:\n{log.read_text()}")


def fork(action, log):
    """A child that does ``action`` and ends, with status 1 if it raised; what it says goes to the end of ``log``."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        say_into(log)
        action()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def assert_same_end(one, other):
    """Everything that two finished runs leave behind, but for wall time and memory."""
    from tests.test_train import assert_same_run

    assert_same_run(one, other)
    rows, others = (
        [line.split(",")[:-1] for line in (run / "eval.csv").read_text().splitlines()] for run in (one, other)
    )
    assert rows == others
    for name in ("histograms.jsonl", "finished.json"):
        texts = [(run / name).read_text() if (run / name).exists() else None for run in (one, other)]
        assert texts[0] == texts[1], name
    pictures, others = ({path.name for path in (run / "pictures").iterdir()} for run in (one, other))
    assert pictures == others


def draw(moments, phases):
    """A moment in a phase that the undisturbed run had, any of them as likely, however short it is."""
    entered, seconds = phases
    phase = moments.choice([number for number, count in enumerate(entered) if count])
    entry = 1 + int(min(entered[phase], LATEST) * moments.random() ** 3)
    return Moment(phase, entry, moments.uniform(0.0, 1.2) * seconds[phase] / entered[phase])


def kill_again_and_again(method, folder, *, kills, seed, seconds):
    """What was done, for the last line; ``SystemExit`` where it does not come out the same."""
    phases, moments = Phases(), random.Random(f"{method} {seed}")
    until = time.monotonic() + seconds
    undisturbed = Victim(method, folder / "undisturbed", folder / "cache", phases)
    assert undisturbed.start()
    typical = phases.entered.copy(), phases.seconds.copy()
    done, ends, where, began = 0, 0, {}, time.monotonic()
    while True:
        victim = Victim(method, folder / f"run_{ends}", folder / "cache", phases)
        while True:
            enough = done >= kills or time.monotonic() > until
            if victim.start(None if enough else draw(moments, typical)):
                break
            done += 1
            where[victim.last] = where.get(victim.last, 0) + 1
            sys.stdout.write(f"{method}: kill {done}, in {victim.last}\n")
            sys.stdout.flush()
        victim.same_as(undisturbed)
        ends += 1
        shutil.rmtree(victim.folder)
        if enough:
            break
    return {
        "method": method, "seed": seed, "kills": done, "equal_ends": ends, "in": where,
        "seconds": round(time.monotonic() - began),
    }  # fmt: skip


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no kill after so many, made or not")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="patchail_kills_") as folder:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{folder}/compiled")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ.setdefault("XLA_FLAGS", FAST_COMPILE)
        os.environ |= {"JAX_PLATFORMS": "cpu", "WANDB_MODE": "disabled"}
        choose_backend()
        import tests.test_train  # noqa: F401  jax and the whole program, once for all starts

        done = kill_again_and_again(
            options.method, Path(folder), kills=options.kills, seed=options.seed, seconds=options.seconds
        )
    sys.stdout.write(f"{json.dumps(done)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
