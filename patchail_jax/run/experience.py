"""All that batches are drawn from, under one roof: the ring, its frames on the devices, and the batch drawn ahead.

Nobody else knows that these are three, or in which order they change.
"""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.devices.data_parallel import Devices
from patchail_jax.devices.frames_on_devices import FramesOnDevices, fits
from patchail_jax.devices.hosts import Hosts
from patchail_jax.methods import Method
from patchail_jax.replay.prefetch import Prefetch
from patchail_jax.replay.ring import Ring
from patchail_jax.replay.stream import NoExperts, Stream
from patchail_jax.run.clock import log_interval
from patchail_jax.run.sizes import expert_batch_size, ring_slots
from patchail_jax.run.stopwatch import Stopwatch
from patchail_jax.types import Batch, Episode, Purpose, Specs, slices

_log = logging.getLogger(__name__)

_SLICE = 2**24  # bytes that wait for the devices at a time
REMEMBERED = 1_000  # calls of updates whose batches can be written down when one fails


class Drawn(NamedTuple):
    """The batches of one call of updates, on the devices, where ``shards`` hold the frames of batches of numbers."""

    batches: Batch
    shards: Any


class Experience:
    """Replay and demonstrations; ``expert_stream`` draws from the demonstrations alone.

    ``spread`` puts batches on the devices, in the thread that draws them. ``agree(yes)`` says whether all processes of
    a run say yes. ``frames`` is None where pixels come with each batch.
    """

    def __init__(
        self,
        ring: Ring,
        stream: Stream,
        expert_stream: Stream,
        frames: FramesOnDevices | None,
        *,
        spread: Callable[[Any], Any],
        updates_per_call: int,
        agree: Callable[[bool], bool],
        stopwatch: Stopwatch,
    ) -> None:
        self._ring, self._stream, self._expert_stream, self._frames = ring, stream, expert_stream, frames
        self._spread, self._agree, self._stopwatch, self._ready = spread, agree, stopwatch, False
        self._ahead = Prefetch(self._draw_from(stream), updates_per_call=updates_per_call)

    @property
    def ready(self) -> bool:
        """Whether every process has something to learn from."""
        if not self._ready:
            self._ready = self._agree(len(self._ring) > 0 or not self._stream.reads_replay)
        return self._ready

    @property
    def transitions(self) -> int:
        """Transitions in replay."""
        return self._ring.transitions

    def batch(self, update: int) -> Drawn:
        """The batches of the call of updates that begins with ``update``; the next is drawn meanwhile."""
        return Drawn(self._ahead.take(update), self._shards)

    def expert_batch(self, update: int) -> Drawn:
        """As ``batch``, of the demonstrations alone."""
        return Drawn(self._draw_from(self._expert_stream)(update), self._shards)

    def add(self, episode: Episode) -> None:
        """Stores a finished, labelled episode; ``UserError`` when it does not fit."""
        self._ahead.drop()
        slots = self._ring.add(episode)
        if self._frames is not None and len(slots):
            self._frames.write(slots, episode.frames)
        self._stopwatch.lap("labelling")

    def rescore(self, score: Callable[[np.ndarray], np.ndarray]) -> None:
        """Puts ``score(frames [T+1,H,W,3]) -> [T]`` in the place of every stored episode's rewards."""
        self._ahead.drop()
        self._ring.rescore(score)
        self._stopwatch.lap("labelling")

    def recall(self, update: int) -> Batch | None:
        """What the call of updates that began with ``update`` saw, with pixels; None if that is too long ago."""
        found = self._stream.recall(update)
        return self._expert_stream.recall(update) if found is None else found

    def state(self) -> dict[str, Any]:
        """For a checkpoint; it counts until the next ``add``."""
        return self._ring.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over ``state``, slice by slice: the same updates draw the same batches."""
        self._ahead.drop()
        self._ring.load_state(state)
        if self._frames is not None:
            slots = self._ring.used_slots()
            for rows, frames in slices(self._ring.state()["frames"], nbytes=_SLICE):
                self._frames.write(slots[rows], frames)
                self._frames.wait()

    def close(self) -> None:
        """Ends the thread that draws ahead."""
        self._ahead.close()

    @property
    def _shards(self) -> Any:
        return None if self._frames is None else self._spread(self._frames.shards)

    def _draw_from(self, stream: Stream) -> Callable[[int], Batch]:
        draw = stream.pixel_batches if self._frames is None else stream.batches
        return lambda update: self._spread(draw(update))


def make_experience(
    config: ConfigDict,
    method: Method,
    specs: Specs,
    devices: Devices,
    experts: ExpertSet | None,
    hosts: Hosts,
    stopwatch: Stopwatch,
) -> Experience:
    """Replay, empty, with the demonstrations; their frames on the devices where there is room."""
    replay = config.replay
    ring = Ring(capacity=ring_slots(config), specs=specs)

    def stream(batch_size: int) -> Stream:
        return Stream(
            ring,
            experts or NoExperts(ring.frames.shape[1:]),
            batch_size=batch_size // hosts.processes,
            expert_batch_size=expert_batch_size(config) // hosts.processes,
            frame_stack=specs.frame_stack,
            devices=devices.count,
            updates_per_call=replay.updates_per_call,
            expert_steps=method.needs.expert_steps,
            root=(config.seed, Purpose.BATCHES, hosts.process),
            demonstration_root=(config.seed, Purpose.DEMONSTRATIONS) if method.needs.demonstration else None,
            process=hosts.process,
            remembered=min(log_interval(config), REMEMBERED) + 1,  # one may be drawn ahead
        )

    return Experience(
        ring,
        stream(replay.batch_size if method.needs.environment else 0),
        stream(0),
        _frames_on_devices(replay.frames_on_device, ring, experts, devices, hosts),
        spread=devices.spread,
        updates_per_call=replay.updates_per_call,
        agree=lambda yes: bool(hosts.gather(int(yes)).all()),
        stopwatch=stopwatch,
    )


def _frames_on_devices(
    choice: str, ring: Ring, experts: ExpertSet | None, devices: Devices, hosts: Hosts
) -> FramesOnDevices | None:
    """Replay's frames and the demonstrations' behind them, where every process has room; None: streamed from the host.

    All must compile the same update.
    """
    shape, dtype = ring.frames.shape[1:], ring.frames.dtype
    images = np.zeros((0, *shape), dtype) if experts is None else experts.frames.reshape(-1, *shape)
    count = ring.slots + len(images)
    here, line = fits(choice, count * ring.frames[0].nbytes, devices.devices)
    everywhere = hosts.smallest(int(here)) == 1
    _log.info("frames: streamed from the host; another process has no room for them" if here > everywhere else line)
    if not everywhere:
        return None
    frames = FramesOnDevices(count, shape, dtype, devices=devices.devices, mapping=devices.mapping)
    frames.write(np.arange(ring.slots, count), images)
    return frames
