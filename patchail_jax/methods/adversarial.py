"""Adversarial imitation on DrQ-v2 (paper, Algorithm 1): the update that PatchAIL and the encoder baselines share.

One update, in this order:

1. discriminator, on expert pairs against half of the batch's agent pairs (Eq. 4 and gradient penalty);
2. rewards of the sampled windows with the discriminator after step 1 (Eq. 5), when ``config.reward.moment`` is
   ``at_update``; with ``at_episode_end`` the rewards are those that replay holds, scored once when the episode ended;
   then, for PatchAIL-W and -B, the similarity of the windows to the expert's pairs (Eq. 6 to 8) weights them or is
   added (Eq. 9, 10), with that same discriminator and without augmentation;
3. critic and encoder, 4. actor, 5. target critic: DrQ-v2.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax.methods import drqv2
from patchail_jax.methods.discriminator import Discriminator, Trained, UpdateKeys
from patchail_jax.methods.method import Judge, Method, Metrics, Needs
from patchail_jax.methods.regularizer import Regularizer
from patchail_jax.methods.reward import Reward
from patchail_jax.types import Batch


@flax.struct.dataclass
class State:
    """The learner's state, the discriminator's, and lambda of Eq. 9 and 10 ``[]``, 0 until the first update sets it.

    ``similarity_scale`` is None where a method has no regulariser to choose.
    """

    learner: drqv2.State
    discriminator: Trained
    similarity_scale: jax.Array | None = None


def compose(
    learner: drqv2.Learner,
    discriminator: Discriminator,
    reward: Reward,
    regularizer: Regularizer | None = None,
    *,
    scale: float | None = None,
) -> Method:
    """A method of its parts; ``scale`` is what ``similarity_scale`` begins with, None to have none."""

    def init(key: jax.Array) -> State:
        learner_key, *keys = jax.random.split(key, 3)
        base = learner.init(learner_key)
        first = None if scale is None else jnp.full((), scale, jnp.float32)
        return State(base, discriminator.init(jnp.stack(keys), base), first)

    def rewards_of(state: State, batch: Batch) -> tuple[jax.Array, jax.Array | None, Metrics]:
        """Rewards ``[B,n]`` of the batch's windows, lambda, and metrics."""
        pairs, frames = discriminator.pairs, batch.agent.frames
        every_step = regularizer is not None and regularizer.every_step
        logits = discriminator.window_logits(state, frames) if reward.at_update or every_step else None
        rewards = reward.of(logits) if reward.at_update and logits is not None else batch.agent.rewards
        if regularizer is None or state.similarity_scale is None:
            return rewards, state.similarity_scale, {}
        if not every_step or logits is None:
            logits = discriminator.logits(state, pairs.at(frames, 0, learner.specs.n_step))[:, None]
        expert_frames = batch.demonstration if regularizer.whole_demonstration else batch.expert.frames
        expert_logits = discriminator.logits(state, pairs.at(expert_frames, 0))
        return regularizer.apply(rewards, logits, expert_logits, state.similarity_scale)

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        keys = UpdateKeys(*jax.random.split(jax.random.fold_in(state.learner.key, state.learner.update), 4))
        trained, discriminator_metrics = discriminator.update(state, batch, keys)
        state = dataclasses.replace(state, discriminator=trained)
        rewards, similarity_scale, reward_metrics = rewards_of(state, batch)
        base, learner_metrics = learner.learn(state.learner, batch, rewards, keys.learner)
        return State(base, trained, similarity_scale), {**discriminator_metrics, **reward_metrics, **learner_metrics}

    def logits_of(state: State, frames: jax.Array) -> jax.Array:
        return discriminator.logits(state, discriminator.pairs.of_episode(frames))

    def patch_rewards(state: State, frames: jax.Array) -> jax.Array:
        return reward.of_patches(logits_of(state, frames))

    def label(state: State, frames: jax.Array, demonstrations: Any) -> tuple[State, jax.Array]:
        del demonstrations
        return state, reward.of(logits_of(state, frames))

    return Method(
        init=init,
        publish=lambda state: learner.publish(state.learner),
        explore=learner.explore,
        exploit=learner.exploit,
        update=update,
        needs=Needs(
            actions=learner.cloning["weight_initial"] > 0,
            demonstration=regularizer is not None and regularizer.whole_demonstration,
        ),
        label=None if reward.at_update else label,
        discriminator=Judge(
            patch_rewards, reward.of, discriminator.examine, discriminator.layers, discriminator.convolutional
        ),
    )
