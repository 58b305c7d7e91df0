"""PatchAIL, PatchAIL-W and -B (paper, Section 3): a discriminator that judges every patch of an image.

The update's order is in ``methods.adversarial``.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from patchail_jax.errors import UserError, choose
from patchail_jax.methods import drqv2
from patchail_jax.methods.adversarial import compose
from patchail_jax.methods.discriminator import Discriminator, DiscriminatorState, judge_windows, make_trainer, pairs_of
from patchail_jax.methods.method import Config, Method, State
from patchail_jax.methods.regularizer import make_regularizer
from patchail_jax.methods.reward import make_reward
from patchail_jax.networks.activations import with_activations
from patchail_jax.networks.geometry import Layer, output_size, patch_layers, tile_layers
from patchail_jax.networks.layers import Network, compute_dtype
from patchail_jax.networks.patch_discriminator import PatchDiscriminator
from patchail_jax.networks.patch_transformer import PatchTransformer
from patchail_jax.types import Specs


def make(specs: Specs, config: Config) -> Method:
    """PatchAIL for ``specs``; -W and -B by ``config.similarity``. ``UserError`` names what does not fit."""
    learner = drqv2.make_learner(specs, config)
    reward, regularizer = make_reward(config["reward"]), make_regularizer(config["similarity"])
    return compose(learner, make_patch_discriminator(specs, config), reward, regularizer, scale=0.0)


def make_network(specs: Specs, config: Config) -> tuple[Network, tuple[Layer, ...]]:
    """The network of ``config.discriminator.architecture``, and where its patches lie.

    ``UserError`` for images that are too small or that tiles do not fill, and for a width that heads cannot share.
    """
    judge, dtype = config["discriminator"], compute_dtype(config["network"]["precision"])

    def convolutional() -> tuple[Network, tuple[Layer, ...]]:
        network = PatchDiscriminator(judge["kernel_size"], judge["channels"], dtype)
        return network, patch_layers(judge["kernel_size"])

    def transformer() -> tuple[Network, tuple[Layer, ...]]:
        tiles = config["transformer"]
        width, heads = tiles["width"], tiles["heads"]
        if heads < 1 or width % heads:
            raise UserError(f"config.transformer.width ({width}) must be a multiple of transformer.heads ({heads})")
        return PatchTransformer(**tiles, dtype=dtype), tile_layers(tiles["patch_size"], specs.image_size)

    architectures = {"convolutional": convolutional, "transformer": transformer}
    network, layers = choose(architectures, judge["architecture"], field="discriminator.architecture")()
    output_size(specs.image_size, layers)  # refuses images that are too small
    return network, layers


def make_patch_discriminator(specs: Specs, config: Config) -> Discriminator:
    """Patches of pairs, by ``config.discriminator`` and ``config.transformer``."""
    judge = config["discriminator"]
    network, layers = make_network(specs, config)
    pairs = pairs_of(specs, config)
    trainer = make_trainer(
        judge,
        pairs,
        logits=network.apply,
        represent=lambda state, params, inputs: inputs,
        pixel_scale=judge["penalty_pixel_scale"],
    )

    def init(keys: jax.Array, learner: drqv2.State) -> DiscriminatorState:
        del learner
        frames = jnp.zeros((1, specs.frame_stack + 1, *specs.frame_shape), specs.frame_dtype)
        return trainer.start(network.init(keys[0], pairs.at(frames, 0)))

    def logits(state: State, inputs: jax.Array) -> jax.Array:
        return network.apply(state.discriminator.params, inputs)

    def window_logits(state: State, stacks: Sequence[jax.Array]) -> jax.Array:
        return judge_windows(functools.partial(logits, state), pairs, stacks)

    def examine(
        state: State, frames: jax.Array, offsets: dict[str, jax.Array]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        return with_activations(network.apply, state.discriminator.params, pairs.of_episode(frames), offsets)

    convolutional = judge["architecture"] == "convolutional"
    return Discriminator(init, trainer.step, logits, window_logits, examine, pairs, layers, convolutional)
