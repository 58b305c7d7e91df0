"""Batches for the learner: agent windows from replay, expert pairs from the demonstrations, laid out for devices.

Batches are drawn as frame numbers: slot ``0 .. slots-1`` of the ring, then the demonstrations' frames in order. Pixels
are filled in on the host (``Stream.pixel_batches``) or on the devices (``devices.frames_on_devices``): the
same batches.
"""

from collections import OrderedDict
from typing import Protocol

import numpy as np

from patchail_jax.errors import UserError
from patchail_jax.replay.ring import Ring
from patchail_jax.types import Batch, ExpertBatch


class Experts(Protocol):
    """Something to draw expert pairs from: ``demos.expert_set.ExpertSet``."""

    @property
    def frames(self) -> np.ndarray:
        """``[D,T+1,H,W,3]``."""

    @property
    def steps(self) -> np.ndarray:
        """Steps of each demonstration, ``[D]``."""

    def sample(self, rng: np.random.Generator, count: int, *, frame_stack: int, apart: int = 1) -> ExpertBatch:
        """``count`` pairs of states ``apart`` steps apart, their frames as numbers ``[count,S+apart]``."""

    def trajectory(self, d: int, *, frame_stack: int) -> ExpertBatch:
        """All pairs of demonstration ``d``."""


class NoExperts:
    """Stands in where a method learns without demonstrations: pairs without frames."""

    def __init__(self, frame_shape: tuple[int, ...]) -> None:
        self.frames = np.zeros((0, 1, *frame_shape), np.uint8)
        self.steps = np.zeros(0, np.int64)

    def sample(self, rng: np.random.Generator, count: int, *, frame_stack: int, apart: int = 1) -> ExpertBatch:
        """``count`` empty pairs."""
        del rng, frame_stack, apart
        return ExpertBatch(np.zeros((count, 0), np.int32), np.zeros((count, 0), np.float32))

    def trajectory(self, d: int, *, frame_stack: int) -> ExpertBatch:
        """No pairs."""
        del d, frame_stack
        return ExpertBatch(np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32))


class Stream:
    """The batch of any update, a function of the update's number and of what replay holds.

    ``batch_size`` 0 is for updates that read the demonstrations alone. States of the expert's pairs are
    ``expert_steps`` apart, those of the whole demonstration one.

    ``batch_size`` and ``expert_batch_size`` are this process's share of the batch, the ``process``-th; ``root`` tells
    processes apart. The newest ``remembered`` draws can be recalled, whatever has come into replay since.

    ``demonstration_root`` adds a whole demonstration, drawn from it anew for each update, the same in all processes,
    for the methods that compare with one. It has as many pairs as the shortest, down to a multiple of the devices; of a
    longer one they are spread evenly over its length. ``UserError`` where that would be none.
    """

    def __init__(
        self,
        ring: Ring,
        experts: Experts,
        *,
        batch_size: int,
        expert_batch_size: int,
        frame_stack: int,
        devices: int,
        updates_per_call: int,
        expert_steps: int = 1,
        root: tuple[int, ...],
        demonstration_root: tuple[int, ...] | None = None,
        process: int = 0,
        remembered: int = 0,
    ) -> None:
        self._process, self.reads_replay = process, batch_size > 0
        self._recent: OrderedDict[int, Batch] = OrderedDict()
        self._remembered, self._expert_steps = remembered, expert_steps
        self._ring, self._experts, self._stack, self._root = ring, experts, frame_stack, root
        self._updates, self._demonstration_root = updates_per_call, demonstration_root
        self._agent_layout = _layout(updates_per_call, batch_size, devices)
        self._expert_layout = _layout(updates_per_call, expert_batch_size, devices)
        pairs = 0 if demonstration_root is None else _shared_by(devices, int(experts.steps.min()))
        self._demonstration_layout = _layout(updates_per_call, pairs, devices)

    def batches(self, update: int) -> Batch:
        """The batches of updates ``update .. update+K-1``, leaves ``[N,K,B/N,...]``, frames as numbers ``int32``.

        Every update draws from its own generator: neither K nor N nor a restart changes what it sees.
        """
        batch_size, pairs, steps = (
            layout[:, 0].size for layout in (self._agent_layout, self._expert_layout, self._demonstration_layout)
        )
        starts, experts, demonstrations = [], [], []
        for number in range(update, update + self._updates):
            rng = np.random.default_rng([*self._root, number])
            starts.append(self._ring.sample_indices(rng, batch_size) if batch_size else np.zeros(0, np.int64))
            experts.append(self._experts.sample(rng, pairs, frame_stack=self._stack, apart=self._expert_steps))
            if self._demonstration_root is not None:
                rng = np.random.default_rng([*self._demonstration_root, number])
                d = int(rng.integers(len(self._experts.frames)))
                every = self._experts.trajectory(d, frame_stack=self._stack).frames
                demonstrations.append(every[np.arange(steps) * len(every) // steps])
        expert = ExpertBatch(*(np.concatenate(leaves)[self._expert_layout] for leaves in zip(*experts, strict=True)))
        empty = np.zeros((0, self._stack + 1), np.int32)
        demonstration = np.concatenate(demonstrations or [empty])[self._demonstration_layout]
        batch = Batch(
            agent=self._ring.windows(np.concatenate(starts)[self._agent_layout]),
            expert=expert._replace(frames=expert.frames + np.int32(self._ring.slots)),
            demonstration=demonstration + np.int32(self._ring.slots),
            sample_index=(self._agent_layout % batch_size + self._process * batch_size).astype(np.int32),
            expert_index=(self._expert_layout % pairs + self._process * pairs).astype(np.int32),
        )
        self._recent[update] = batch
        while len(self._recent) > self._remembered:
            self._recent.popitem(last=False)
        return batch

    def pixel_batches(self, update: int) -> Batch:
        """``batches(update)`` with the frames' pixels in the place of their numbers."""
        return self._with_pixels(self.batches(update))

    def recall(self, update: int) -> Batch | None:
        """``pixel_batches`` as it was drawn when ``update`` was made; None when that is too long ago.

        A frame that replay has given away since then shows what lies in its place now.
        """
        return self._with_pixels(self._recent[update]) if update in self._recent else None

    def _with_pixels(self, batch: Batch) -> Batch:
        experts = np.reshape(self._experts.frames, (-1, *self._experts.frames.shape[2:]))
        return batch._replace(
            agent=batch.agent._replace(frames=self._ring.frames[batch.agent.frames]),
            expert=batch.expert._replace(frames=experts[batch.expert.frames - self._ring.slots]),
            demonstration=experts[batch.demonstration - self._ring.slots],
        )


def _shared_by(devices: int, steps: int) -> int:
    """How many of a demonstration's pairs the devices can share evenly."""
    if steps < devices:
        raise UserError(
            f"the shortest demonstration has {steps} steps, fewer than the {devices} devices that would share it: "
            "leave it out, lower config.devices, or set config.similarity.expert_pairs=batch"
        )
    return steps // devices * devices


def _layout(updates: int, batch_size: int, devices: int) -> np.ndarray:
    """Where sample b of update k stands among ``K * B``, as ``[N,K,B/N]``: device d has the d-th block of each."""
    order = np.arange(updates * batch_size).reshape(updates, devices, batch_size // devices)
    return np.ascontiguousarray(order.swapaxes(0, 1))
