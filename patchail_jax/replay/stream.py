"""Batches for the learner: agent windows from replay, expert pairs from the demonstrations, laid out for devices."""

from typing import Protocol

import numpy as np

from patchail_jax.replay.ring import Ring
from patchail_jax.types import Batch, ExpertBatch


class Experts(Protocol):
    """Something to draw expert pairs from: ``demos.expert_set.ExpertSet``."""

    def sample(self, rng: np.random.Generator, count: int, *, frame_stack: int) -> ExpertBatch:
        """``count`` pairs."""


class NoExperts:
    """Stands in where a method learns without demonstrations: pairs without pixels."""

    def sample(self, rng: np.random.Generator, count: int, *, frame_stack: int) -> ExpertBatch:
        """``count`` empty pairs."""
        del rng, frame_stack
        return ExpertBatch(np.zeros((count, 0), np.uint8), np.zeros((count, 0), np.float32))


class Stream:
    """The batch of any update, a function of the update's number and of what replay holds."""

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
        root: tuple[int, ...],
    ) -> None:
        self._ring, self._experts, self._stack, self._root = ring, experts, frame_stack, root
        self._agent_layout = _layout(updates_per_call, batch_size, devices)
        self._expert_layout = _layout(updates_per_call, expert_batch_size, devices)

    def batches(self, update: int) -> Batch:
        """The batches of updates ``update .. update+K-1``, leaves ``[N,K,B/N,...]``.

        Every update draws from its own generator: neither K nor N nor a restart changes what it sees.
        """
        updates, batch_size = self._agent_layout.shape[1], self._agent_layout[:, 0].size
        pairs = self._expert_layout[:, 0].size
        starts, experts = [], []
        for number in range(update, update + updates):
            rng = np.random.default_rng([*self._root, number])
            starts.append(self._ring.sample_indices(rng, batch_size))
            experts.append(self._experts.sample(rng, pairs, frame_stack=self._stack))
        return Batch(
            agent=self._ring.gather(np.concatenate(starts)[self._agent_layout]),
            expert=ExpertBatch(*(np.concatenate(leaves)[self._expert_layout] for leaves in zip(*experts, strict=True))),
            sample_index=(self._agent_layout % batch_size).astype(np.int32),
            expert_index=(self._expert_layout % pairs).astype(np.int32),
        )


def _layout(updates: int, batch_size: int, devices: int) -> np.ndarray:
    """Where sample b of update k stands among ``K * B``, as ``[N,K,B/N]``: device d has the d-th block of each."""
    order = np.arange(updates * batch_size).reshape(updates, devices, batch_size // devices)
    return np.ascontiguousarray(order.swapaxes(0, 1))
