"""Attention and Grad-CAM on activations with known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.maps.gradcam import class_activation, signed_gradcam
from patchail_jax.maps.patch_map import weighted_patch_map
from patchail_jax.maps.spatial_attention import spatial_attention
from tests.small import SPECS, make_method

ACTIVATIONS = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
WEIGHTS = np.array([2.0, -1.0, 0.5], np.float32)


def test_attention_is_the_softmax_of_mean_magnitudes():
    attention = spatial_attention(ACTIVATIONS, image_size=4)
    magnitude = np.exp(np.abs(ACTIVATIONS).mean(axis=-1))
    np.testing.assert_allclose(attention, magnitude / magnitude.sum(axis=(1, 2), keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(attention, spatial_attention(-ACTIVATIONS, image_size=4), rtol=1e-6)


def test_even_activations_get_even_attention_at_any_size():
    np.testing.assert_allclose(spatial_attention(np.ones((1, 4, 4, 2), np.float32), image_size=9), 1 / 16, rtol=1e-5)


def look(pixels, offsets):
    """A linear discriminator: patch logits are the weighted channels of its only layer."""
    activations = {"layer": pixels + offsets.get("layer", 0.0)}
    return jnp.einsum("bhwc,c->bhw", activations["layer"], WEIGHTS), activations


def test_grad_cam_of_a_linear_discriminator_is_its_logits_over_the_number_of_patches():
    expected = np.einsum("bhwc,c->bhw", ACTIVATIONS, WEIGHTS) / 16
    np.testing.assert_allclose(class_activation(look, ACTIVATIONS, layer="layer"), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("one_logit", [False, True])
def test_the_non_expert_s_map_is_the_expert_s_with_the_other_sign(one_logit):
    def judge(pixels, offsets):
        logits, activations = look(pixels, offsets)
        return (logits.mean(axis=(1, 2)) if one_logit else logits), activations

    def judge_for_the_non_expert(pixels, offsets):
        logits, activations = judge(pixels, offsets)
        return -logits, activations

    whole = signed_gradcam(judge, ACTIVATIONS, layer="layer", image_size=4)
    against = signed_gradcam(judge_for_the_non_expert, ACTIVATIONS, layer="layer", image_size=4)
    # Grad-CAM keeps a label's positive part: the two parts make up the signed map.
    parts = [np.maximum(maps, 0) for maps in (whole, against)]
    assert all(part.max() > 0 for part in parts)
    np.testing.assert_allclose(parts[0] - parts[1], whole, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(whole, np.einsum("bhwc,c->bhw", ACTIVATIONS, WEIGHTS) / 16, rtol=1e-4, atol=1e-7)


def test_weighted_rewards_are_the_product():
    rewards, attention = np.array([[[1.0, -2.0]]]), np.array([[[0.25, 0.75]]])
    np.testing.assert_array_equal(weighted_patch_map(rewards, attention), [[[0.25, -1.5]]])


@pytest.mark.parametrize("name", ["patchail", "shared_encoder_ail", "independent_encoder_ail"])
def test_every_discriminator_has_a_gradient_at_its_last_layer(name):
    method = make_method(name)
    state = method.init(jax.random.PRNGKey(0))
    side = SPECS.image_size
    frames = np.random.default_rng(0).integers(0, 256, (2 + SPECS.frame_stack, side, side, 3), dtype=np.uint8)
    logits, activations = method.discriminator.examine(state, frames, {})
    assert logits.shape[0] == 2
    layer, last = list(activations.items())[-1]
    maps = class_activation(
        lambda pixels, offsets: method.discriminator.examine(state, pixels, offsets), frames, layer=layer
    )
    assert maps.shape == last.shape[:3] and np.abs(maps).max() > 0
