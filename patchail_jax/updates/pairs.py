"""Transitions as a discriminator sees them: inputs cut from windows of frames, augmented for the update."""

from typing import NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Real

from patchail_jax.arrays import Key, Keys
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

    def at(self, frames: Real[Array | np.ndarray, "B L *frame"], first: int, step: int = 1) -> Real[Array, "B *input"]:
        """The unaugmented inputs of windows ``[B,L,H,W,3]``: s from frame ``first`` on, s' ``step`` steps later."""
        return self.to_input(stack_at(frames, first, self.size), stack_at(frames, first + step, self.size))

    def of_windows(
        self, frames: Real[Array | np.ndarray, "B L *frame"], n_step: int
    ) -> Real[Array, "{n_step}*B *input"]:
        """The inputs of every step of the windows ``[B,S+n,H,W,3]``, ``[n B,...]``, step by step."""
        return jnp.concatenate([self.at(frames, step) for step in range(n_step)])

    def of_episode(self, frames: Real[Array | np.ndarray, "N *frame"]) -> Real[Array, "N-{self.size} *input"]:
        """The inputs of t consecutive steps, ``[t,...]``, of ``frames [t+S,H,W,3]``."""
        return self.at(episode_windows(frames, self.size + 1), 0)

    def for_update(self, batch: Batch, expert_keys: Keys, agent_keys: Keys, mix_key: Key) -> UpdatePairs:
        """``expert``, ``agent`` and ``mix`` of ``updates.discriminator``, augmented; keys ``[2,2]`` are of s and s'."""
        # Every other agent sample, so that the same samples are chosen however the batch is spread over devices.
        stride = batch.agent.frames.shape[0] // batch.expert.frames.shape[0]
        agent_frames, agent_index = batch.agent.frames[::stride], batch.sample_index[::stride]
        return {
            "expert": self._augmented(expert_keys, batch.expert_index, batch.expert.frames, 1),
            "agent": self._augmented(agent_keys, agent_index, agent_frames, self.agent_step),
            "mix": jax.vmap(jax.random.uniform)(sample_keys(mix_key, batch.expert_index)),
        }

    def _augmented(
        self, keys: Keys, index: Int[Array, "B"], frames: Real[Array, "B L *frame"], step: int
    ) -> Real[Array, "B *input"]:
        first = self.augment(sample_keys(keys[0], index), stack_at(frames, 0, self.size), pad=self.pad)
        second = self.augment(sample_keys(keys[1], index), stack_at(frames, step, self.size), pad=self.pad)
        return self.to_input(first, second)


def make_pairs(
    specs: Specs, *, observation: str, augmentation: str, augmentation_pad: int, agent_successor: str
) -> Pairs:
    """By the fields of ``config.discriminator``."""
    return Pairs(
        size=specs.frame_stack,
        to_input=choose(OBSERVATIONS, observation, field="discriminator.observation"),
        augment=choose(AUGMENTATIONS, augmentation, field="discriminator.augmentation"),
        pad=augmentation_pad,
        agent_step=choose(
            {"one_step": 1, "n_step": specs.n_step}, agent_successor, field="discriminator.agent_successor"
        ),
    )
