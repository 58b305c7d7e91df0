"""Shapes, the table of patches and receptive fields, initialisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.networks.actor import Actor
from patchail_jax.networks.critic import Critic
from patchail_jax.networks.encoder import Encoder
from patchail_jax.networks.geometry import (
    encoder_layers,
    output_size,
    patch_layers,
    receptive_field,
    receptive_span,
)
from patchail_jax.networks.layers import scale_pixels
from patchail_jax.networks.patch_discriminator import PatchDiscriminator

# kernel size: patches per side, receptive field (paper, Figure 6b)
TABLE = {1: (84, 1), 2: (46, 8), 3: (42, 15), 4: (39, 22), 5: (35, 29), 8: (25, 50)}


@pytest.mark.parametrize("kernel_size", TABLE)
def test_table_of_patches_and_receptive_fields(kernel_size):
    patches, field = TABLE[kernel_size]
    layers = patch_layers(kernel_size)
    assert (output_size(84, layers), receptive_field(layers)) == (patches, field)
    network = PatchDiscriminator(kernel_size, 2, jnp.float32)
    logits = jax.eval_shape(
        lambda x: network.apply(network.init(jax.random.PRNGKey(0), x), x), jnp.zeros((2, 84, 84, 18), jnp.uint8)
    )
    assert logits.shape == (2, patches, patches)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_receptive_span_is_where_the_gradient_is_not_zero(kernel_size):
    layers, side = patch_layers(kernel_size), 30
    network = PatchDiscriminator(kernel_size, 4, jnp.float32)
    x = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (1, side, side, 1)), jnp.float32)
    params = network.init(jax.random.PRNGKey(1), x)
    patches = output_size(side, layers)
    for index in (0, patches // 2, patches - 1):
        gradient = jax.grad(lambda x, index=index: network.apply(params, x)[0, index, index])(x)[0, :, :, 0]
        rows = np.flatnonzero(np.abs(gradient).sum(axis=1))
        assert (rows[0], rows[-1] + 1) == receptive_span(index, side, layers)


def test_encoder_gives_the_paper_s_features():
    assert output_size(84, encoder_layers()) == 35 and receptive_field(encoder_layers()) == 15
    encoder = Encoder(32, jnp.float32)
    features = jax.eval_shape(
        lambda x: encoder.apply(encoder.init(jax.random.PRNGKey(0), x), x), jnp.zeros((1, 84, 84, 9), jnp.uint8)
    )
    assert features.shape == (1, 39_200)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_heads_give_float32_whatever_they_compute_in(dtype):
    features = jnp.ones((3, 20), dtype)
    actor, critic = Actor(2, 8, 16, dtype), Critic(8, 16, dtype)
    action = actor.apply(actor.init(jax.random.PRNGKey(0), features), features)
    values = critic.apply(critic.init(jax.random.PRNGKey(0), features, action), features, action)
    assert action.shape == (3, 2) and action.dtype == jnp.float32 and float(jnp.abs(action).max()) <= 1
    assert values.shape == (2, 3) and values.dtype == jnp.float32
    assert not np.allclose(values[0], values[1])  # two heads, not one twice


def test_values_far_from_zero_still_tell_states_apart_in_bfloat16():
    """Near 125 bfloat16 has steps of 0.5, five times the spread of these values: two of 256 would differ."""
    features, actions = (jax.random.normal(jax.random.PRNGKey(seed), (256, size)) for seed, size in ((0, 200), (1, 2)))
    found = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        critic = Critic(50, 256, dtype)
        params = critic.init(jax.random.PRNGKey(0), features, actions)
        for head in ("heads_0", "heads_1"):
            params["params"][head]["value"]["bias"] += 125.0
        found[dtype] = np.asarray(critic.apply(params, features, actions))
    spread = found[jnp.float32].std(axis=1)
    np.testing.assert_array_less((found[jnp.bfloat16] - found[jnp.float32]).std(axis=1), 0.05 * spread)


def test_weights_are_orthogonal_with_the_gain_of_their_kind_and_biases_zero():
    network = PatchDiscriminator(4, 8, jnp.float32)
    params = network.init(jax.random.PRNGKey(0), jnp.zeros((1, 16, 16, 6)))["params"]
    kernel = np.asarray(params["convolution_1"]["kernel"]).reshape(-1, 16)
    np.testing.assert_allclose(kernel.T @ kernel, 2 * np.eye(16), atol=1e-5)
    np.testing.assert_array_equal(params["convolution_1"]["bias"], 0)
    actor = Actor(2, 8, 16, jnp.float32)
    dense = np.asarray(actor.init(jax.random.PRNGKey(0), jnp.zeros((1, 20)))["params"]["trunk"]["projection"]["kernel"])
    np.testing.assert_allclose(dense.T @ dense, np.eye(8), atol=1e-5)


def test_pixels_are_scaled_to_half_a_unit_around_zero():
    np.testing.assert_allclose(scale_pixels(jnp.asarray([0, 255], jnp.uint8), jnp.float32), [-0.5, 0.5])


def test_pixels_are_rounded_to_bfloat16_once():
    pixels = jnp.arange(256, dtype=jnp.uint8)
    exact = np.arange(256) / 255 - 0.5
    found = np.asarray(scale_pixels(pixels, jnp.bfloat16), np.float64)
    np.testing.assert_array_less(np.abs(found - exact), 2.0**-8 * np.abs(exact) + 1e-7)  # half of a last place


def test_too_small_an_image_is_named():
    with pytest.raises(
        UserError, match="images of 4 pixels are too small.*config.env.image_size.*config.discriminator.kernel_size"
    ):
        output_size(4, patch_layers(8))
