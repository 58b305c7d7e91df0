"""Shared- and Independent-Encoder AIL (paper, Section 5): the discriminator judges latent features of whole images.

One update, in this order:

1. discriminator, a perceptron on the features z of a pair, expert pairs against half of the batch's agent pairs (Eq. 4
   and gradient penalty on the features). Shared: z is the critic's trunk on the encoder's features, both from before
   step 3 and detached. Independent: z has an encoder and a trunk of its own, trained by the classification;
2. rewards of the sampled windows with the discriminator after step 1 (Eq. 5), when ``moment`` is ``at_update``;
   with ``at_episode_end`` the rewards are those that replay holds, scored once when the episode ended;
3. critic and encoder, 4. actor, 5. target critic: DrQ-v2.
"""

import dataclasses
import itertools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax.equations.gradient_penalty import NOT_PIXELS
from patchail_jax.equations.patch_reward import REWARD_FORMS
from patchail_jax.errors import choose
from patchail_jax.methods import drqv2
from patchail_jax.methods.method import Method
from patchail_jax.networks.activations import with_activations
from patchail_jax.networks.feature_discriminator import FeatureDiscriminator, ImageFeatures
from patchail_jax.networks.geometry import Layer
from patchail_jax.networks.layers import compute_dtype
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.discriminator import discriminator_update
from patchail_jax.updates.gradient_step import make_optimizer
from patchail_jax.updates.pairs import make_pairs
from patchail_jax.updates.prepare_batch import episode_windows, stack_at


@flax.struct.dataclass
class State(drqv2.State):
    """DrQ-v2's state and the discriminator's: ``{"head": ...}``, and ``"features"`` where it has an encoder."""

    discriminator: Any
    discriminator_optimizer: Any


def make_shared(
    specs: Specs,
    *,
    agent: dict[str, Any],
    network: dict[str, Any],
    discriminator: dict[str, Any],
    reward: dict[str, Any],
    cloning: dict[str, Any],
) -> Method:
    """The discriminator reads the critic's features (Cohen et al. 2021); the arguments are sub-configs."""
    learner = drqv2.make_learner(specs, cloning, **agent, **network)
    return _make(specs, learner, None, network, **discriminator, **reward)


def make_independent(
    specs: Specs,
    *,
    agent: dict[str, Any],
    network: dict[str, Any],
    discriminator: dict[str, Any],
    reward: dict[str, Any],
    cloning: dict[str, Any],
) -> Method:
    """The discriminator has an encoder of its own; the arguments are sub-configs."""
    learner = drqv2.make_learner(specs, cloning, **agent, **network)
    dtype = compute_dtype(network["precision"])
    own = ImageFeatures(network["encoder_channels"], network["feature_size"], dtype)
    return _make(specs, learner, own, network, **discriminator, **reward)


def _make(
    specs: Specs,
    learner: drqv2.Learner,
    own: ImageFeatures | None,
    network: dict[str, Any],
    *,
    optimizer: str,
    learning_rate: float,
    decay: dict[str, Any],
    penalty_weight: float,
    augmentation: str,
    augmentation_pad: int,
    observation: str,
    agent_successor: str,
    form: str,
    scale: float,
    moment: str,
    **of_patches: Any,
) -> Method:
    del of_patches  # kernel size, aggregation and so on
    dtype = compute_dtype(network["precision"])
    head = FeatureDiscriminator(network["hidden_size"], dtype)
    adam = make_optimizer(optimizer, learning_rate, decay, group="discriminator")
    pairs = make_pairs(
        specs,
        observation=observation,
        augmentation=augmentation,
        augmentation_pad=augmentation_pad,
        agent_successor=agent_successor,
    )
    to_rewards = choose(REWARD_FORMS, form, field="reward.form")
    at_update = choose({"at_update": True, "at_episode_end": False}, moment, field="reward.moment")
    size = specs.frame_stack

    def features_of(critic: Any, params: Any, stack: Any) -> Any:
        """z ``[B,feature_size]`` of stacks ``[B,H,W,3S]``."""
        if own is None:
            return learner.latent(critic, stack)
        return own.apply(params["features"], stack)

    def represent(critic: Any, params: Any, inputs: Any) -> Any:
        """Features ``[B,2 feature_size]`` of pairs ``[B,H,W,6S]``, or ``[B,feature_size]`` of ``[B,H,W,3S]``."""
        stacks = jnp.split(inputs, inputs.shape[-1] // (3 * size), axis=-1)
        features = jnp.concatenate([features_of(critic, params, stack) for stack in stacks], axis=-1)
        return jax.lax.stop_gradient(features) if own is None else features

    def judge_features(params: Any, features: Any) -> Any:
        """Logits ``[B,1,1]``, high for the expert."""
        return head.apply(params["head"], features)

    def logits_of(critic: Any, params: Any, inputs: Any) -> Any:
        return judge_features(params, represent(critic, params, inputs))

    def init(key: Any) -> State:
        learner_key, head_key, features_key = jax.random.split(key, 3)
        base = learner.method.init(learner_key)
        frames = jnp.zeros((1, size + 1, *specs.frame_shape), specs.frame_dtype)
        params = {} if own is None else {"features": own.init(features_key, stack_at(frames, 0, size))}
        params["head"] = head.init(head_key, represent(base.critic, params, pairs.at(frames, 0)))
        return State(**vars(base), discriminator=params, discriminator_optimizer=adam.init(params))

    def window_rewards(critic: Any, params: Any, frames: Any) -> Any:
        """Rewards ``[B,n]`` of every step of the windows ``[B,S+n,H,W,3]`` (Algorithm 1, line 7)."""
        # Each state once; where s' alone is judged, the first is not used and the compiler leaves it out.
        states = [features_of(critic, params, stack_at(frames, step, size)) for step in range(specs.n_step + 1)]
        logits = judge_features(params, jnp.concatenate([pairs.to_input(*two) for two in itertools.pairwise(states)]))
        return scale * to_rewards(jnp.reshape(logits, (specs.n_step, -1)).T)

    def update(state: State, batch: Batch) -> tuple[State, dict[str, Any]]:
        key = jax.random.fold_in(state.key, state.update)
        expert_key, agent_key, mix_key, learn_key = jax.random.split(key, 4)
        params, optimizer_state, metrics = discriminator_update(
            state.discriminator,
            state.discriminator_optimizer,
            adam,
            represent=lambda params, inputs: represent(state.critic, params, inputs),
            logits=judge_features,
            **pairs.for_update(batch, expert_key, agent_key, mix_key),
            penalty_weight=penalty_weight,
            penalty_pixel_scale=NOT_PIXELS,
        )
        rewards = window_rewards(state.critic, params, batch.agent.frames) if at_update else batch.agent.rewards
        state = dataclasses.replace(state, discriminator=params, discriminator_optimizer=optimizer_state)
        state, learner_metrics = learner.learn(state, batch, rewards, learn_key)
        return state, {**metrics, **learner_metrics}

    def judge(state: State, frames: Any) -> Any:
        return scale * to_rewards(logits_of(state.critic, state.discriminator, pairs.of_episode(frames)))

    def score(state: State, frames: Any) -> Any:
        return judge(state, frames)[:, 0, 0]

    def examine(state: State, frames: Any, offsets: Any) -> tuple[Any, dict[str, Any]]:
        """Looks inside the encoder while it reads s'; what it makes of s stands."""
        critic, params = state.critic, state.discriminator
        windows = episode_windows(frames, size + 1)
        first = features_of(critic, params, stack_at(windows, 0, size))

        def apply(params: Any, stack: Any) -> Any:
            return judge_features(params, pairs.to_input(first, features_of(critic, params, stack)))

        return with_activations(apply, params, stack_at(windows, 1, size), offsets)

    return learner.method._replace(
        init=init,
        uses_task_reward=False,
        update=update,
        score=None if at_update else score,
        judge=judge,
        layers=(Layer(specs.image_size, 1, 0),),  # the image as a whole
        examine=examine,
    )
