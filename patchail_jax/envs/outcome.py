"""What an environment is told and what it answers."""

from typing import NamedTuple

import numpy as np


class Outcome(NamedTuple):
    """After a reset or a step: the newest frame ``[H,W,3] uint8``, or features ``[F] float32``, the reward and
    discount since the frame before it, and whether the episode is over. A reset has reward 0 and discount 1."""

    frame: np.ndarray
    reward: float
    discount: float
    last: bool


class Lost(NamedTuple):
    """The environment died at a step and has been started again: its episode is gone, and why."""

    reason: str


class Reset(NamedTuple):
    """Start an episode from ``seed``, 32 bits."""

    seed: int


class Step(NamedTuple):
    """Apply ``action [A] float32`` in [-1, 1] for one agent step."""

    action: np.ndarray


class Restore(NamedTuple):
    """Start the episode of ``seed`` and apply ``actions [t,A]`` without rendering; there is no outcome."""

    seed: int
    actions: np.ndarray


Command = Reset | Step | Restore
Answer = Outcome | Lost | None  # None to Restore
