"""Environments for worker processes to run: importable by name in a spawned child."""

import os
import signal
import sys

import dm_env
import numpy as np
from dm_env import specs

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.outcome import Outcome
from patchail_jax.errors import UserError


class Counting:
    """Frames show the seed, the number of steps and the last action; steps end after five."""

    action_size = 2
    renderer = "a fake's"

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


class HungUp(Counting):
    """Its robot hangs up, as a pipe or a socket does: at the first step, or when it is made or closed."""

    def __init__(self, *, error, at="step"):
        super().__init__()
        self.error, self.at = error, at
        self._maybe("make")

    def _maybe(self, now):
        if now == self.at:
            raise self.error("the robot hung up")

    def step(self, action):
        self._maybe("step")
        return super().step(action)

    def close(self):
        self._maybe("close")


class Reconnected(Counting):
    """Its robot hangs up at its first step; the ``refused`` next makes after the first one fail, as a user's do."""

    def __init__(self, *, folder, refused):
        made = len(list(folder.iterdir()))
        (folder / str(made)).touch()
        if 1 <= made <= refused:
            raise UserError("env.factory robot:make failed (ConnectionError: no route to the robot)")
        super().__init__(break_at=1 if made == 0 else -1)


class Telling(FrameEnvironment):
    """A real environment whose rewards count jax among the modules, and whose discounts are the threads of OpenGL."""

    def step(self, action):
        frame, _, _, last = super().step(action)
        return Outcome(frame, float("jax" in sys.modules), float(os.environ["LP_NUM_THREADS"]), last)


class Corridor(dm_env.Environment):
    """A bright square that actions push along a dark corridor: its end terminates the episode, 12 steps truncate it.

    ``seed`` gives the start. Rewards are the square's place, 0 to 10.
    """

    def __init__(self, image_size=16, *, actions=None, observation=None, answer=lambda step: step):
        """``answer(step)`` is what ``step()`` gives in the place of the time step."""
        self._size, self._place, self._steps, self._seed, self._answer = image_size, 0.0, 0, 0, answer
        self._actions = actions or specs.BoundedArray((1,), np.float32, [-2.0], [4.0])
        self._observation = observation or (lambda frame: {"pixels": frame})
        self.calls = []

    def seed(self, number):
        self._seed = number

    def reset(self):
        self._place, self._steps = float(self._seed % 3), 0
        return dm_env.restart(self._look())

    def step(self, action):
        self.calls.append(np.array(action))
        self._place = float(np.clip(self._place + action[0], 0, 10))
        self._steps += 1
        if self._place >= 10:
            return dm_env.termination(self._place, self._look())
        if self._steps == 12:
            return dm_env.truncation(self._place, self._look())
        return self._answer(dm_env.transition(self._place, self._look()))

    def _look(self):
        frame = np.full((self._size, self._size, 3), 40, np.uint8)
        left = round(self._place / 10 * (self._size - 4))
        frame[self._size // 2 :, left : left + 4] = (250, 180, 20)
        return self._observation(frame)

    def observation_spec(self):
        return {"pixels": specs.Array((self._size, self._size, 3), np.uint8)}

    def action_spec(self):
        return self._actions


def corridor(*, task, image_size):
    """For ``env.factory``; the task's name chooses what is wrong with it."""
    faults = {
        "discrete": {"actions": specs.DiscreteArray(3)},
        "integers": {"actions": specs.BoundedArray((1,), np.int32, 0, 1)},
        "endless": {"actions": specs.BoundedArray((1,), np.float32, -np.inf, np.inf)},
        "unbounded": {"actions": specs.Array((1,), np.float32)},
        "narrow": {"actions": specs.BoundedArray((1,), np.float64, [-0.1], [0.3])},
        "matrix": {"actions": specs.BoundedArray((1, 2), np.float32, 0, 1)},
        "floats": {"observation": lambda frame: frame.astype(np.float32)},
        "grey": {"observation": lambda frame: frame[..., 0]},
        "blind": {"observation": lambda frame: {"position": frame}},
        "small": {"observation": lambda frame: frame[:5, :5]},
        "wide": {"observation": lambda frame: frame.repeat(2, axis=0).repeat(4, axis=1)},
        "plain": {"observation": lambda frame: frame},
        "unrewarded": {"answer": lambda step: step._replace(reward=None)},
        "lost": {"answer": lambda step: step._replace(reward=float("nan"))},
        "several": {"answer": lambda step: step._replace(reward=np.ones(1))},
        "undiscounted": {"answer": lambda step: step._replace(discount=None)},
        "silent": {"answer": lambda step: None},
        "growing": {"answer": lambda step: step._replace(observation=step.observation["pixels"].repeat(2, axis=1))},
    }
    return Corridor(image_size, **faults.get(task, {}))


def nothing(*, task, image_size):
    """Not an environment."""
    return [task, image_size]


def without_camera(**_):
    """Not made at all."""
    raise ValueError("no camera\n3")


def unasked():
    """It takes nothing."""
    return Corridor()


not_a_function = 3
