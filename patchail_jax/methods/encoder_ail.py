"""Shared- and Independent-Encoder AIL (paper, Section 5), and LAIfO: discriminators of latent features of whole images.

A perceptron on the features z of a pair; the gradient penalty is on the features. Shared: z is the critic's trunk on
the encoder's features, both from before the critic's step and detached. Independent: z has an encoder and a trunk of
its own, trained by the classification. The update's order is in ``methods.adversarial``.

LAIfO (Giammarino, Queeney, Paschalidis, TMLR 2024) is Shared-Encoder AIL with other values of the config
(``run.presets``): the trunk is a part of the encoder, so actor, critic and discriminator read one z
(``network.trunk``); pairs are n steps apart, the expert's too; the penalty is of the probability; the reward is
``round(D)``, one a window, of pairs that are augmented anew. Such a reward, 0 or 1, pays for every step that looks
expert and never costs anything: where episodes can end before their time, the agent is rewarded for staying alive.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from patchail_jax.equations.gradient_penalty import NOT_PIXELS
from patchail_jax.errors import UserError
from patchail_jax.methods import drqv2
from patchail_jax.methods.adversarial import compose
from patchail_jax.methods.discriminator import Discriminator, DiscriminatorState, judge_windows, make_trainer, pairs_of
from patchail_jax.methods.method import Config, Method, Policy, State
from patchail_jax.methods.reward import Reward, make_reward
from patchail_jax.networks.activations import with_activations
from patchail_jax.networks.feature_discriminator import FeatureDiscriminator, ImageFeatures
from patchail_jax.networks.geometry import Layer
from patchail_jax.networks.layers import compute_dtype
from patchail_jax.types import Specs
from patchail_jax.updates.prepare_batch import episode_windows, stack_at


def make_shared(specs: Specs, config: Config) -> Method:
    """The discriminator reads the critic's features (Cohen et al. 2021)."""
    learner = drqv2.make_learner(specs, config)
    return compose(learner, make_feature_discriminator(learner, config, None), make_image_reward(config))


def make_independent(specs: Specs, config: Config) -> Method:
    """The discriminator has an encoder of its own."""
    network = config["network"]
    learner = drqv2.make_learner(specs, config)
    own = ImageFeatures(network["encoder_channels"], network["feature_size"], compute_dtype(network["precision"]))
    return compose(learner, make_feature_discriminator(learner, config, own), make_image_reward(config))


def make_image_reward(config: Config) -> Reward:
    """By ``config.reward``; ``UserError`` for a regulariser, which compares distributions over patches."""
    if config["similarity"]["regularizer"] != "none":
        raise UserError(
            "config.similarity.regularizer is for patches, and this method judges images as a whole: it must be none"
        )
    return make_reward(config["reward"])


def make_feature_discriminator(learner: drqv2.Learner, config: Config, own: ImageFeatures | None) -> Discriminator:
    """By ``config.discriminator``; fields of patches do not apply. ``own`` is None for the critic's features.

    Parameters are ``{"head": ...}``, and ``"features"`` where there is an encoder of its own.
    """
    specs, network = learner.specs, config["network"]
    size = specs.frame_stack
    head = FeatureDiscriminator(network["hidden_size"], compute_dtype(network["precision"]))
    pairs = pairs_of(specs, config)

    def features_of(critic: Policy, params: Policy, stack: jax.Array) -> jax.Array:
        """z ``[B,feature_size]`` of stacks ``[B,H,W,3S]``."""
        return learner.latent(critic, stack) if own is None else own.apply(params["features"], stack)

    def represent(critic: Policy, params: Policy, inputs: jax.Array) -> jax.Array:
        """Features ``[B,2 feature_size]`` of pairs ``[B,H,W,6S]``, or ``[B,feature_size]`` of ``[B,H,W,3S]``."""
        stacks = jnp.split(inputs, inputs.shape[-1] // (3 * size), axis=-1)
        features = jnp.concatenate([features_of(critic, params, stack) for stack in stacks], axis=-1)
        return jax.lax.stop_gradient(features) if own is None else features

    def judge(params: Policy, features: jax.Array) -> jax.Array:
        """Logits ``[B,1,1]``, high for the expert."""
        return head.apply(params["head"], features)

    trainer = make_trainer(
        config["discriminator"],
        pairs,
        logits=judge,
        represent=lambda state, params, inputs: represent(state.learner.critic, params, inputs),
        pixel_scale=NOT_PIXELS,
    )

    def init(keys: jax.Array, base: drqv2.State) -> DiscriminatorState:
        frames = jnp.zeros((1, size + 1, *specs.frame_shape), specs.frame_dtype)
        params = {} if own is None else {"features": own.init(keys[1], stack_at(frames, 0, size))}
        params["head"] = head.init(keys[0], represent(base.critic, params, pairs.at(frames, 0)))
        return trainer.start(params)

    def logits(state: State, inputs: jax.Array) -> jax.Array:
        params = state.discriminator.params
        return judge(params, represent(state.learner.critic, params, inputs))

    def window_logits(state: State, stacks: Sequence[jax.Array]) -> jax.Array:
        # Each state once; where s' alone is judged, the first is not used and the compiler leaves it out.
        critic, params = state.learner.critic, state.discriminator.params
        states = [features_of(critic, params, stack) for stack in stacks]
        return judge_windows(functools.partial(judge, params), pairs, states)

    def examine(
        state: State, frames: jax.Array, offsets: dict[str, jax.Array]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Looks inside the encoder while it reads s'; what it makes of s stands."""
        critic, params = state.learner.critic, state.discriminator.params
        windows = episode_windows(frames, size + pairs.reach)
        first = features_of(critic, params, stack_at(windows, 0, size))

        def of_second(params: Policy, stack: jax.Array) -> jax.Array:
            return judge(params, pairs.to_input(first, features_of(critic, params, stack)))

        return with_activations(of_second, params, stack_at(windows, pairs.reach, size), offsets)

    whole_image = (Layer(specs.image_size, 1, 0),)
    reads = "" if own is not None else "critic" if learner.critic.own_trunk else "encoder"
    return Discriminator(init, trainer.step, logits, window_logits, examine, pairs, whole_image, True, reads)
