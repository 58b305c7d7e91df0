"""Transitions as a discriminator sees them: inputs cut from windows of frames, augmented for the update."""

from collections.abc import Iterable
from typing import NamedTuple, TypedDict

import jax
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Real, UInt32

from patchail_jax.arrays import Key, TwoKeys
from patchail_jax.errors import choose
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.augmentation import AUGMENTATIONS, Augmentation
from patchail_jax.updates.prepare_batch import OBSERVATIONS, Observation, episode_windows, sample_keys, stack_at


class UpdatePairs(TypedDict):
    """The inputs of ``updates.discriminator``, augmented, and where between them the penalty is taken."""

    expert: Real[Array, "E *input"]
    agent: Real[Array, "E *input"]
    mix: Float[Array, "E"]


class Pairs(NamedTuple):
    """Inputs ``[B,H,W,6S]`` of (s, s'), or ``[B,H,W,3S]`` of s' alone; ``make_pairs`` reads the config's names."""

    size: int  # frames of a stack
    to_input: Observation
    augment: Augmentation
    pad: int  # pixels
    agent_step: int  # steps between the agent's s and s' in an update
    expert_step: int = 1  # and between the expert's
    reach: int = 1  # and between those of an episode

    def at(self, frames: Real[Array | np.ndarray, "B L *frame"], first: int, step: int = 1) -> Real[Array, "B *input"]:
        """The unaugmented inputs of windows ``[B,L,H,W,3]``: s from frame ``first`` on, s' ``step`` steps later."""
        return self.to_input(stack_at(frames, first, self.size), stack_at(frames, first + step, self.size))

    def states(
        self,
        frames: Real[Array | np.ndarray, "B L *frame"],
        steps: Iterable[int],
        keys: UInt32[Array, "states 2"] | None = None,
        index: Int[Array, "B"] | None = None,
    ) -> list[Real[Array, "B *stack"]]:
        """The states at ``steps`` of windows ``[B,S+n,H,W,3]``, each ``[B,H,W,3S]``.

        Augmented where there are ``keys``, one a state, and the samples' numbers ``index``.
        """
        stacks = [stack_at(frames, step, self.size) for step in steps]
        if keys is None or index is None:
            return stacks
        return [self._augment(key, index, stack) for key, stack in zip(keys, stacks, strict=True)]

    def of_episode(
        self, frames: Real[Array | np.ndarray, "N *frame"]
    ) -> Real[Array, "N-{self.size}-{self.reach}+1 *input"]:
        """The inputs of t consecutive steps, ``[t,...]``, of ``frames [t+S+reach-1,H,W,3]``."""
        return self.at(episode_windows(frames, self.size + self.reach), 0, self.reach)

    def for_update(self, batch: Batch, expert_keys: TwoKeys, agent_keys: TwoKeys, mix_key: Key) -> UpdatePairs:
        """``expert``, ``agent`` and ``mix`` of ``updates.discriminator``, augmented; keys ``[2,2]`` are of s and s'."""
        # Every other agent sample, so that the same samples are chosen however the batch is spread over devices.
        stride = batch.agent.frames.shape[0] // batch.expert.frames.shape[0]
        agent_frames, agent_index = batch.agent.frames[::stride], batch.sample_index[::stride]
        return {
            "expert": self._augmented(expert_keys, batch.expert_index, batch.expert.frames, self.expert_step),
            "agent": self._augmented(agent_keys, agent_index, agent_frames, self.agent_step),
            "mix": jax.vmap(jax.random.uniform)(sample_keys(mix_key, batch.expert_index)),
        }

    def _augmented(
        self, keys: TwoKeys, index: Int[Array, "B"], frames: Real[Array, "B L *frame"], step: int
    ) -> Real[Array, "B *input"]:
        return self.to_input(*self.states(frames, (0, step), keys, index))

    def _augment(self, key: Key, index: Int[Array, "B"], stack: Real[Array, "B *stack"]) -> Real[Array, "B *stack"]:
        return self.augment(sample_keys(key, index), stack, pad=self.pad)


def make_pairs(
    specs: Specs,
    *,
    observation: str,
    augmentation: str,
    augmentation_pad: int,
    agent_successor: str,
    expert_successor: str = "one_step",
    by_window: bool = False,
) -> Pairs:
    """By the fields of ``config.discriminator``; ``by_window``: steps of an episode are judged with the n-th next."""
    successors = {"one_step": 1, "n_step": specs.n_step}
    return Pairs(
        size=specs.frame_stack,
        to_input=choose(OBSERVATIONS, observation, field="discriminator.observation"),
        augment=choose(AUGMENTATIONS, augmentation, field="discriminator.augmentation"),
        pad=augmentation_pad,
        agent_step=choose(successors, agent_successor, field="discriminator.agent_successor"),
        expert_step=choose(successors, expert_successor, field="discriminator.expert_successor"),
        reach=specs.n_step if by_window else 1,
    )
