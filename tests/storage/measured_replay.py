"""A program that fills a replay of so many bytes and saves it, or resumes one: the memory it took, as a line of JSON.

``resume-on-device`` has its frames on a device too, which on a CPU is the same memory.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import psutil

from patchail_jax.devices.frames_on_devices import FramesOnDevices
from patchail_jax.replay.ring import Ring, nbytes
from patchail_jax.replay.stream import NoExperts, Stream
from patchail_jax.run.experience import Experience
from patchail_jax.run.stopwatch import Stopwatch
from patchail_jax.storage.checkpoint_contents import checksums, split
from patchail_jax.storage.checkpoints import Checkpoints
from patchail_jax.storage.memory import peak_memory
from patchail_jax.types import Episode, Specs

SPECS, STEPS = Specs(84, 3, 6, 3), 500
STATE = {"w": np.arange(1000.0)}


def empty(size):
    return Ring(capacity=size // nbytes(1, SPECS), specs=SPECS)


def on_device(ring):
    """Replay as a run has it whose frames are on the device, without demonstrations."""
    devices = jax.devices("cpu")[:1]
    frames = FramesOnDevices(ring.slots, ring.frames.shape[1:], ring.frames.dtype, devices=devices)
    stream = Stream(
        ring,
        NoExperts(ring.frames.shape[1:]),
        batch_size=1,
        expert_batch_size=0,
        frame_stack=SPECS.frame_stack,
        devices=1,
        updates_per_call=1,
        expert_steps=1,
        root=(0, 0),
    )
    every = {"updates_per_call": 1, "agree": bool, "stopwatch": Stopwatch()}
    return Experience(ring, stream, stream, frames, spread=lambda tree: tree, **every)


def fill(ring):
    """More than fits, so that it wraps around; a noisy square on a smooth ground, which compresses as renderings do."""
    rng = np.random.default_rng(0)
    ones = np.ones(STEPS, np.float32)
    frames = np.zeros((STEPS + 1, 84, 84, 3), np.uint8)
    frames += np.linspace(0, 255, 84).astype(np.uint8)[:, None, None]
    frames[:, 20:60, 20:60] = rng.integers(0, 256, (STEPS + 1, 40, 40, 3), dtype=np.uint8)
    for number in range(int(1.4 * ring.slots) // (STEPS + 1) + 1):
        actions = rng.normal(size=(STEPS, 6)).astype(np.float32)
        ring.add(Episode(np.roll(frames, number, axis=1), actions, number * ones, ones))


def main(what, folder, size):
    held_by = on_device if what == "resume-on-device" else lambda ring: ring
    with tempfile.TemporaryDirectory() as small:  # loads the libraries' own pages, and compiles
        fill(ring := empty(2**25))
        Checkpoints(Path(small), keep=1).save(1, state=STATE, host={"replay": ring.state()})
        assert Checkpoints(Path(small), keep=1).restore(STATE, replay=held_by(ring)) is not None
    before = psutil.Process().memory_info().rss
    ring = empty(size)
    replay = held_by(ring)
    if what == "save":
        fill(ring)
    began = time.monotonic()
    if what == "save":
        assert Checkpoints(folder, keep=1).save(1, state=STATE, host={"replay": ring.state()})
    else:
        assert Checkpoints(folder, keep=1).restore(STATE, replay=replay) is not None
    seconds, taken = time.monotonic() - began, peak_memory() - before
    held = checksums({}, *split(ring.state()))
    sys.stdout.write(json.dumps({"peak": taken / size, "seconds": seconds, "held": held}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
