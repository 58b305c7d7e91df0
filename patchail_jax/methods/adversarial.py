"""Adversarial imitation on DrQ-v2 (paper, Algorithm 1): the update that PatchAIL and the encoder baselines share.

One update, in this order:

1. discriminator, on expert pairs against half of the batch's agent pairs (Eq. 4 and gradient penalty);
2. rewards of the sampled windows with the discriminator after step 1 (Eq. 5), when ``config.reward.moment`` is
   ``at_update``, of each step or of the window as one pair (``config.reward.pairs``); with ``at_episode_end`` the
   rewards are those that replay holds, scored once when the episode ended;
   then, for PatchAIL-W and -B, the similarity of the windows to the expert's pairs (Eq. 6 to 8) weights them or is
   added (Eq. 9, 10), with that same discriminator and without augmentation;
3. critic and encoder, 4. actor, 5. target critic: DrQ-v2.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax.methods import drqv2
from patchail_jax.methods.cloning_weight import clones, filtered, is_filtered
from patchail_jax.methods.discriminator import Discriminator, DiscriminatorState, UpdateKeys
from patchail_jax.methods.method import NOTHING, Judge, Method, Metrics, Needs, Policy
from patchail_jax.methods.regularizer import Regularizer
from patchail_jax.methods.reward import Reward
from patchail_jax.types import Batch


@flax.struct.dataclass
class State:
    """The learner's state, the discriminator's, and lambda of Eq. 9 and 10 ``[]``, 0 until the first update sets it.

    ``similarity_scale`` is None where a method has no regulariser to choose, ``reference`` where no frozen policy
    weighs the cloning term.
    """

    learner: drqv2.State
    discriminator: DiscriminatorState
    similarity_scale: jax.Array | None = None
    reference: Policy | None = None


RewardsOf = Callable[[State, Batch, jax.Array], tuple[jax.Array, jax.Array | None, Metrics]]


def make_rewards(
    learner: drqv2.Learner, discriminator: Discriminator, reward: Reward, regularizer: Regularizer | None
) -> RewardsOf:
    """Step 2: ``rewards(state, batch, key) -> (rewards [B,n], lambda, metrics)`` of the batch's windows.

    ``key [2]`` is of the states' augmentation, where ``config.reward`` asks for it; lambda is the state's own where
    there is no regulariser.
    """

    def judged(state: State, batch: Batch, *, every_step: bool, key: jax.Array | None = None) -> jax.Array:
        """Logits ``[B,n,P,P]`` of every step of the windows, else ``[B,1,P,P]`` of each as one pair of its ends.

        The states are augmented where there is a ``key``.
        """
        n = learner.specs.n_step
        steps = tuple(range(n + 1)) if every_step else (0, n)
        keys = None if key is None else jax.random.split(key, len(steps))
        stacks = discriminator.pairs.states(batch.agent.frames, steps, keys, batch.sample_index)
        return discriminator.window_logits(state, stacks)

    def rewards_of(state: State, batch: Batch, key: jax.Array) -> tuple[jax.Array, jax.Array | None, Metrics]:
        pairs, logits, rewards = discriminator.pairs, None, batch.agent.rewards
        if reward.at_update:
            logits = judged(state, batch, every_step=reward.every_step, key=key if reward.augmented else None)
            rewards = reward.of(logits)
            # One reward a window counts at its first step: it is the return that the n rewards would sum up to.
            rewards = jnp.pad(rewards, ((0, 0), (0, learner.specs.n_step - rewards.shape[1])))
        if regularizer is None or state.similarity_scale is None:
            return rewards, state.similarity_scale, {}
        if logits is None or reward.augmented or reward.every_step != regularizer.every_step:
            logits = judged(state, batch, every_step=regularizer.every_step)
        whole = regularizer.whole_demonstration
        experts = pairs.at(batch.demonstration, 0) if whole else pairs.at(batch.expert.frames, 0, pairs.expert_step)
        expert_logits = discriminator.logits(state, experts)
        return regularizer.apply(rewards, logits, expert_logits, state.similarity_scale)

    return rewards_of


def compose(
    learner: drqv2.Learner,
    discriminator: Discriminator,
    reward: Reward,
    regularizer: Regularizer | None = None,
    *,
    scale: float | None = None,
) -> Method:
    """A method of its parts; ``scale`` is what ``similarity_scale`` begins with, None to have none."""
    rewards_of = make_rewards(learner, discriminator, reward, regularizer)

    def init(key: jax.Array, parts: Policy = NOTHING) -> State:
        learner_key, *keys = jax.random.split(key, 3)
        base = learner.init(learner_key, parts)
        trained = discriminator.init(jnp.stack(keys), base)
        trained = dataclasses.replace(trained, params=parts.get("discriminator", trained.params))
        first = None if scale is None else jnp.full((), scale, jnp.float32)
        reference = jax.tree.map(jnp.copy, learner.publish(base)) if is_filtered(learner.cloning) else None
        return State(base, trained, first, reference)

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        keys = UpdateKeys(*jax.random.split(jax.random.fold_in(state.learner.key, state.learner.update), 5))
        trained, discriminator_metrics = discriminator.update(state, batch, keys)
        state = dataclasses.replace(state, discriminator=trained)
        rewards, similarity_scale, reward_metrics = rewards_of(state, batch, keys.reward)
        weight = None
        if state.reference is not None:
            weight = filtered(learner.encode, learner.actor.apply, state.reference)
        base, learner_metrics = learner.learn(state.learner, batch, rewards, keys.learner, weight)
        metrics = {**discriminator_metrics, **reward_metrics, **learner_metrics}
        if not reward.every_step:  # one reward a window, and zeros behind it
            metrics["reward/mean"] *= learner.specs.n_step
        return State(base, trained, similarity_scale, state.reference), metrics

    def label(state: State, frames: jax.Array, demonstrations: Any) -> tuple[State, jax.Array]:
        del demonstrations
        return state, reward.of(discriminator.logits(state, discriminator.pairs.of_episode(frames)))

    return Method(
        init=init,
        publish=lambda state: learner.publish(state.learner),
        explore=learner.explore,
        exploit=learner.exploit,
        update=update,
        needs=Needs(
            actions=clones(learner.cloning),
            expert_steps=discriminator.pairs.expert_step,
            demonstration=regularizer is not None and regularizer.whole_demonstration,
        ),
        label=None if reward.at_update else label,
        discriminator=Judge(
            reward.of_patches,
            reward.of,
            discriminator.examine,
            discriminator.layers,
            discriminator.convolutional,
            discriminator.pairs.reach,
            discriminator.reads,
        ),
    )
