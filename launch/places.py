"""What runs side by side on one machine share: its graphics cards, its cores and its memory."""

import argparse
import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.launch import options
from patchail_jax.launch.sweeps.sweep import PlannedRun
from patchail_jax.replay.ring import nbytes
from patchail_jax.run.sizes import ring_slots
from patchail_jax.storage.memory import available, passing_through
from patchail_jax.types import Specs

CARD_SHARE = 0.9  # of a card's memory, for all runs on it; the rest is for its driver and for drawing
LEAST_PRIORITY = 19
_GIB = 1024**3


class Place(NamedTuple):
    """What one of the runs has for itself; ``idle`` gives way to all else on the machine."""

    environment: Mapping[str, str]  # beside this program's
    cores: frozenset[int] = frozenset()
    idle: bool = False

    def take(self, process: int) -> None:
        """Puts a process here that has just begun, with all that it will start."""
        with contextlib.suppress(ProcessLookupError):  # it has ended: its status will be looked at
            if self.cores:
                os.sched_setaffinity(process, self.cores)
            if self.idle:
                os.setpriority(os.PRIO_PROCESS, process, LEAST_PRIORITY)

    def __str__(self) -> str:
        words = [" ".join(f"{name}={value}" for name, value in self.environment.items())]
        words += ["cores " + ",".join(map(str, sorted(self.cores)))] * bool(self.cores)
        return "; ".join(filter(None, [*words, *["idle priority"] * self.idle]))


def cards(text: str) -> tuple[str, ...]:
    """``0,1`` as its words, for ``type=`` of a flag: numbers or names of cards, each of them once."""
    found = tuple(word for word in text.split(",") if word)
    if not found:  # an unset variable of a shell's: the runs would take each other's memory
        raise argparse.ArgumentTypeError(f"{text!r} names no card; leave the flag out where there is none")
    for word in found:
        if not re.fullmatch(r"[\w/-]+", word, re.ASCII):
            raise argparse.ArgumentTypeError(f"{word!r} is no card: give numbers, or names such as GPU-8a")
        if found.count(word) > 1:
            raise argparse.ArgumentTypeError(f"card {word} is named twice: --jobs alone says how many runs share it")
    return found


def make_places(count: int, *, gpus: Sequence[str], cores: int, idle: bool) -> list[Place]:
    """A place for each of ``count`` runs at a time; ``UserError`` where there are no ``cores`` for each of them."""
    if cores and not hasattr(os, "sched_setaffinity"):
        raise UserError("--cores needs Linux: this system cannot bind programs to cores")
    here = sorted(os.sched_getaffinity(0)) if cores else []
    if count * cores > len(here):
        raise UserError(
            f"--jobs={count} with --cores={cores} needs {count * cores} cores; there are {len(here)}: lower one of them"
        )
    return [
        Place(environment_of(slot, gpus, slots=count), frozenset(here[slot * cores : (slot + 1) * cores]), idle)
        for slot in range(count)
    ]


def environment_of(slot: int, gpus: Sequence[str], *, slots: int) -> Mapping[str, str]:
    """What a run in ``slot`` of ``slots`` finds in its environment beside this program's: its card, or its share of it.

    It draws on the card that it computes on, as far as EGL numbers cards as CUDA does.
    """
    if not gpus:
        return {}
    gpu = gpus[slot % len(gpus)]
    found = {"CUDA_VISIBLE_DEVICES": gpu}
    if gpu.isdecimal():  # not a card by its name, GPU-... or MIG-...
        found["MUJOCO_EGL_DEVICE_ID"] = gpu
    sharing = len(range(slot % len(gpus), slots, len(gpus)))
    if sharing > 1:
        found["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{CARD_SHARE / sharing:.3f}"
    return found


def require_memory_together(runs: Sequence[PlannedRun], *, at_once: int) -> None:
    """``UserError`` where the ``at_once`` largest of the runs' replays are more than this machine's free memory."""
    needs = sorted((_replay(run) for run in runs), reverse=True)[:at_once]
    needed, free = sum(needs) + passing_through(max(needs, default=0)), available()
    if needed > free:
        raise UserError(
            f"{len(needs)} runs at a time need {needed / _GIB:.1f} GiB for their replays, and {free / _GIB:.1f} GiB of "
            "memory are free; lower --jobs, or config.replay.capacity"
        )


def _replay(run: PlannedRun) -> int:
    """Bytes of a run's replay, its actions aside, which are few; none where frames are features."""
    config = options.config_of(run)
    if config.env.observation != "pixels":
        return 0
    return nbytes(ring_slots(config), Specs(config.env.image_size, config.env.frame_stack, 0, config.replay.n_step))
