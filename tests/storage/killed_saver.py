"""A program that saves checkpoints and nothing else, killed again and again: what it went on with, one line a start.

A child of a fork saves, so that a start takes no import; the parent never starts JAX's threads.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from patchail_jax.storage.checkpoints import Checkpoints

KILLS = 20


def contents(step):
    noise = np.random.default_rng(step).integers(0, 256, 200_000, dtype=np.uint8)
    return {"params": noise, "update": np.asarray(step)}, {"replay": {"frames": noise[::-1].copy()}, "step": step}


def save_for_ever(folder, pipe):
    checkpoints = Checkpoints(folder, keep=2)
    restored = checkpoints.restore(contents(0)[0])
    step = 0
    if restored is not None:
        state, host, step = restored
        wanted_state, wanted_host = contents(step)
        np.testing.assert_array_equal(state["params"], wanted_state["params"])
        np.testing.assert_array_equal(host["replay"]["frames"], wanted_host["replay"]["frames"])
        assert host["step"] == state["update"] == step
    os.write(pipe, f"{step}\n".encode())
    while True:
        step += 1
        state, host = contents(step)
        assert checkpoints.save(step, state=state, host=host)
        os.write(pipe, f"{step}\n".encode())


def main(folder):
    moments, saved = random.Random(0), 0
    for _ in range(KILLS):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                save_for_ever(folder, writing)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as lines:
            resumed = int(lines.readline())  # an empty line, where the child failed, is an error here
            began = time.monotonic()
            done = [int(lines.readline())]
            time.sleep(moments.uniform(0.0, 1.5) * (time.monotonic() - began))  # somewhere in the next save, or after
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            done += [int(line) for line in lines if line.endswith("\n")]
        # The one that was being written when it died may have become whole, and has then not been heard of.
        assert resumed in (saved, saved + 1), (resumed, saved)
        saved = done[-1]
        sys.stdout.write(f"{resumed} {saved}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
