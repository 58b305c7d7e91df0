"""Axis legend and the records that cross the host/device border.

Axes, in the order they appear: ``N`` devices, ``K`` updates per call, ``B`` samples, ``E`` expert samples,
``D`` demonstrations, ``T`` agent steps of an episode, ``n`` steps of the n-step return, ``S`` frames in a stack,
``H, W`` pixels, ``C`` channels, ``A`` action size, ``P`` patches per side.

Units: a *frame* is one control step of the simulator, a *step* one agent step (``action_repeat`` frames),
an *update* one learner update. The module is shared by the host and the device side, so it imports neither
jax nor dm_control. All records are NamedTuples, hence pytrees.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

Array = Any  # numpy on the host, jax on the device


class Rows:
    """An array that does not lie in memory as one: ``read(start, stop)`` gives these rows, ``[stop-start, ...]``.

    Reading is cheapest in multiples of ``block`` rows. ``numpy.asarray`` reads all of it.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, read: Callable[[int, int], np.ndarray], *, block: int = 1
    ) -> None:
        self.shape, self.dtype, self.read, self.block = tuple(shape), np.dtype(dtype), read, block

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.read(0, len(self)), dtype, copy=copy)


def slices(array: "np.ndarray | Rows", *, nbytes: int, block: int = 1) -> Iterator[tuple[Any, np.ndarray]]:
    """``array`` in order, in slices along its first axis of about ``nbytes`` each: an index and what it gives.

    A slice has a multiple of ``block`` rows, the last one excepted. What is small, or has no axis, comes as one.
    """
    if array.nbytes <= nbytes:
        yield ..., np.asarray(array)
        return
    block = max(block, array.block) if isinstance(array, Rows) else block
    step = max(1, nbytes * len(array) // array.nbytes // block) * block
    for start in range(0, len(array), step):
        stop = min(start + step, len(array))
        yield slice(start, stop), array.read(start, stop) if isinstance(array, Rows) else array[start:stop]


def all_finite(arrays: Iterable[np.ndarray]) -> bool:
    """Whether no array has a NaN or an infinity."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


class Purpose(IntEnum):
    """What a run's seed is mixed with, so that no two purposes draw the same numbers."""

    TRAINING = 0  # starts of training episodes
    EVALUATION = 1  # starts of evaluation episodes
    BATCHES = 2  # what updates draw from replay and demonstrations
    RECORDING = 3  # starts of recorded episodes
    EXPLORATION = 4  # noise of the training actions
    INITIALISATION = 5  # first parameters, and the root of the learner's own draws
    RANDOM_PLAY = 6  # uniform actions of an episode that is there to be looked at
    DEMONSTRATIONS = 7  # the whole demonstration that an update is compared with


class Specs(NamedTuple):
    """Sizes that networks, replay and environments must agree on."""

    image_size: int  # H = W, pixels
    frame_stack: int  # S
    action_size: int  # A
    n_step: int  # n
    feature_count: int = 0  # F, where a "frame" is a vector of the physics' features; 0 where it is pixels

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """``(H,W,3)``, or ``(F,)``."""
        return (self.feature_count,) if self.feature_count else (self.image_size, self.image_size, 3)

    @property
    def frame_dtype(self) -> Any:
        """uint8 for pixels, float32 for features."""
        return np.float32 if self.feature_count else np.uint8


class Episode(NamedTuple):
    """One finished episode, each frame once.

    ``frames [T+1,H,W,3] uint8``, ``actions [T,A] float32`` in [-1, 1], ``rewards [T] float32`` (the task's own,
    summed over the action repeat), ``discounts [T] float32`` (1 inside, 0 on termination).
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    discounts: np.ndarray


class AgentBatch(NamedTuple):
    """n-step windows from replay; stacks are cut from the window on the device.

    ``frames [B,S+n,H,W,3] uint8`` (the stack of s_t is the first S, that of s_{t+n} the last S), or ``[B,S+n] int32``,
    the numbers of these frames, until their pixels are filled in (``replay.stream``),
    ``actions [B,A]`` at t, ``rewards [B,n]`` as stored, ``discounts [B,n]`` of the environment.
    """

    frames: Array
    actions: Array
    rewards: Array
    discounts: Array


class ExpertBatch(NamedTuple):
    """Expert pairs, states k steps apart: ``frames [E,S+k,H,W,3] uint8``, or their numbers ``[E,S+k] int32``;
    ``actions [E,A]`` at the first state (NaN where unknown)."""

    frames: Array
    actions: Array


class Batch(NamedTuple):
    """Everything one update reads.

    ``demonstration [M,S+1,H,W,3]`` are the pairs of one whole demonstration, M = 0 where the method reads none.
    ``sample_index [B] int32`` and ``expert_index [E] int32`` number the samples of the *global* batch: random
    augmentation is keyed by them, so that an update does not depend on how the batch is spread over devices.
    """

    agent: AgentBatch
    expert: ExpertBatch
    demonstration: Array
    sample_index: Array
    expert_index: Array
