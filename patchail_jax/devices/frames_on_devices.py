"""Replay's frames and the demonstrations', kept on the devices: each frame crosses from the host once.

Frame number s lies on device ``s % N`` of the process's own N devices. A batch may name any frame for any device: every
device looks up those that it holds for all, and a reduce-scatter hands each its own share.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from patchail_jax.devices.mapping import Mapping, Pmap
from patchail_jax.errors import choose
from patchail_jax.types import Batch
from patchail_jax.updates.gradient_step import DEVICE_AXIS

_GIB = 1024**3
ON_DEVICE = {"auto": None, "yes": True, "no": False}  # config.replay.frames_on_device
_CHUNK = 128  # frames a device takes in at a time: one shape, so one compilation
_SHARE = 0.6  # of a device's free memory that the frames may take; the rest is the learner's


class FramesOnDevices:
    """``count`` numbered frames of ``shape`` and ``dtype``, spread over ``devices``."""

    def __init__(
        self, count: int, shape: tuple[int, ...], dtype: Any, *, devices: Sequence[Any], mapping: type[Mapping] = Pmap
    ) -> None:
        self._count, self._rows = len(devices), -(-count // len(devices))
        self._shape, self._dtype = shape, dtype
        self._on = on = mapping(devices)
        self._write = on.map(_put, whole=(False,) * 3, whole_out=False)
        empty = on.map(lambda _: jnp.zeros((self._rows, *shape), dtype), whole=(False,), whole_out=False, donate=False)
        self.shards = empty(on.spread(np.zeros(self._count, np.int8)))

    def write(self, numbers: np.ndarray, frames: np.ndarray) -> None:
        """Puts ``frames [m,...]`` under their ``numbers [m]``; returns before the devices have them."""
        held = [np.flatnonzero(numbers % self._count == device) for device in range(self._count)]
        for start in range(0, max(map(len, held)), _CHUNK):
            rows = np.full((self._count, _CHUNK), self._rows, np.int32)  # out of range: dropped
            pixels = np.zeros((*rows.shape, *self._shape), self._dtype)
            for device, own in enumerate(held):
                chunk = own[start : start + _CHUNK]
                rows[device, : len(chunk)] = numbers[chunk] // self._count
                pixels[device, : len(chunk)] = frames[chunk]
            self.shards = self._write(self.shards, *self._on.spread((rows, pixels)))

    def wait(self) -> None:
        """Returns when the devices have all that was written: until then the host holds it too."""
        jax.block_until_ready(self.shards)


def _put(shard: Any, rows: Any, frames: Any) -> Any:
    return shard.at[rows].set(frames, mode="drop")


def look_up(shard: Any, numbers: Any, *, devices: int, processes: int = 1) -> Any:
    """The frames ``numbers [b,L]`` of this device's share of the batch, ``[b,L,...]``; runs under ``DEVICE_AXIS``.

    ``devices`` are those of one process; each process has a mirror of its own.
    """
    if devices == 1:
        return shard[numbers]
    groups = np.arange(processes * devices).reshape(processes, devices).tolist() if processes > 1 else None
    every = jax.lax.all_gather(numbers, DEVICE_AXIS, axis_index_groups=groups, tiled=True)
    held = every % devices == jax.lax.axis_index(DEVICE_AXIS) % devices
    frames = shard[every // devices]
    frames = jnp.where(jnp.reshape(held, held.shape + (1,) * (frames.ndim - held.ndim)), frames, 0)
    return jax.lax.psum_scatter(frames, DEVICE_AXIS, scatter_dimension=0, axis_index_groups=groups, tiled=True)


def with_pixels(shard: Any, batch: Batch, *, devices: int, processes: int = 1) -> Batch:
    """``batch`` with its frames' pixels in the place of their numbers, as ``Stream.pixel_batches`` does on the host."""
    look = functools.partial(look_up, shard, devices=devices, processes=processes)
    return batch._replace(
        agent=batch.agent._replace(frames=look(batch.agent.frames)),
        expert=batch.expert._replace(frames=look(batch.expert.frames)),
        demonstration=look(batch.demonstration),
    )


def fits(choice: str, nbytes: int, devices: Sequence[Any]) -> tuple[bool, str]:
    """Whether ``nbytes`` of frames go on the devices, and a line for the log that says so.

    ``choice`` is ``config.replay.frames_on_device``: "yes", "no", or "auto", by the memory the devices report.
    """
    needed = nbytes / len(devices)
    size = f"{needed / _GIB:.2f} GiB a device"
    memory = devices[0].memory_stats() if choice == "auto" else None
    chosen = choose(ON_DEVICE, choice, field="replay.frames_on_device")
    if chosen is not None:
        return chosen, f"frames: {'on the devices, ' + size if chosen else 'streamed from the host'}, as configured"
    if devices[0].platform == "cpu" or not memory or "bytes_limit" not in memory:
        return False, "frames: streamed from the host"
    free = memory["bytes_limit"] - memory.get("bytes_in_use", 0)
    if needed > _SHARE * free:
        return False, f"frames: streamed from the host; {size} are more than {_SHARE:.0%} of {free / _GIB:.1f} GiB free"
    return True, f"frames: on the devices, {size} of {free / _GIB:.1f} GiB free"
