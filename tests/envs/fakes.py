"""Environments for worker processes to run: importable by name in a spawned child."""

import os
import signal
import sys

import numpy as np

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.outcome import Outcome


class Counting:
    """Frames show the seed, the number of steps and the last action; steps end after five."""

    action_size = 2

    def __init__(self, *, break_at: int = -1, die_at: int = -1):
        self.break_at, self.die_at, self.steps, self.seed = break_at, die_at, 0, 0

    def _frame(self, value=0):
        frame = np.zeros((4, 5, 3), np.uint8)
        frame[0, 0] = self.seed % 256, self.steps, value
        return frame

    def reset(self, seed):
        self.seed, self.steps = seed, 0
        return Outcome(self._frame(), 0.0, 1.0, False)

    def step(self, action):
        self.steps += 1
        if self.steps == self.break_at:
            raise ArithmeticError("the fake environment broke")
        if self.steps == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(self._frame(int(action[1])), float(action[0]), 1.0, self.steps == 5)

    def restore(self, seed, actions):
        self.reset(seed)
        self.steps = len(actions)

    def close(self):
        pass


class Telling(FrameEnvironment):
    """A real environment whose rewards count jax among the modules, and whose discounts are the threads of OpenGL."""

    def step(self, action):
        frame, _, _, last = super().step(action)
        return Outcome(frame, float("jax" in sys.modules), float(os.environ["LP_NUM_THREADS"]), last)
