"""Transitions as a discriminator sees them: inputs cut from windows of frames, augmented for the update."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from patchail_jax.errors import choose
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.augmentation import AUGMENTATIONS
from patchail_jax.updates.prepare_batch import OBSERVATIONS, episode_windows, sample_keys, stack_at


class Pairs(NamedTuple):
    """Inputs ``[B,H,W,6S]`` of (s, s'), or ``[B,H,W,3S]`` of s' alone; ``make_pairs`` reads the config's names."""

    size: int  # frames of a stack
    to_input: Callable[[Any, Any], Any]
    augment: Callable[..., Any]
    pad: int  # pixels
    agent_step: int  # steps between the agent's s and s' in an update

    def at(self, frames: Any, first: int, step: int = 1) -> Any:
        """The unaugmented inputs of windows ``[B,L,H,W,3]``: s from frame ``first`` on, s' ``step`` steps later."""
        return self.to_input(stack_at(frames, first, self.size), stack_at(frames, first + step, self.size))

    def of_windows(self, frames: Any, n_step: int) -> Any:
        """The inputs of every step of the windows ``[B,S+n,H,W,3]``, ``[n B,...]``, step by step."""
        return jnp.concatenate([self.at(frames, step) for step in range(n_step)])

    def of_episode(self, frames: Any) -> Any:
        """The inputs of t consecutive steps, ``[t,...]``, of ``frames [t+S,H,W,3]``."""
        return self.at(episode_windows(frames, self.size + 1), 0)

    def for_update(self, batch: Batch, expert_key: Any, agent_key: Any, mix_key: Any) -> dict[str, Any]:
        """``expert``, ``agent`` and ``mix`` of ``updates.discriminator``, augmented."""
        # Every other agent sample, so that the same samples are chosen however the batch is spread over devices.
        stride = batch.agent.frames.shape[0] // batch.expert.frames.shape[0]
        agent_frames, agent_index = batch.agent.frames[::stride], batch.sample_index[::stride]
        return {
            "expert": self._augmented(expert_key, batch.expert_index, batch.expert.frames, 1),
            "agent": self._augmented(agent_key, agent_index, agent_frames, self.agent_step),
            "mix": jax.vmap(jax.random.uniform)(sample_keys(mix_key, batch.expert_index)),
        }

    def _augmented(self, key: Any, index: Any, frames: Any, step: int) -> Any:
        first_key, second_key = jax.random.split(key)
        first = self.augment(sample_keys(first_key, index), stack_at(frames, 0, self.size), pad=self.pad)
        second = self.augment(sample_keys(second_key, index), stack_at(frames, step, self.size), pad=self.pad)
        return self.to_input(first, second)


def make_pairs(specs: Specs, discriminator: Mapping[str, Any]) -> Pairs:
    """By the fields of ``config.discriminator``; ``UserError`` names one that does not exist."""
    steps, successor = {"one_step": 1, "n_step": specs.n_step}, discriminator["agent_successor"]
    return Pairs(
        size=specs.frame_stack,
        to_input=choose(OBSERVATIONS, discriminator["observation"], field="discriminator.observation"),
        augment=choose(AUGMENTATIONS, discriminator["augmentation"], field="discriminator.augmentation"),
        pad=discriminator["augmentation_pad"],
        agent_step=choose(steps, successor, field="discriminator.agent_successor"),
    )
