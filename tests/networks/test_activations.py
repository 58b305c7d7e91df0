"""What is seen inside a network is what it computed with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.networks.activations import with_activations
from patchail_jax.networks.encoder import Encoder
from patchail_jax.networks.patch_discriminator import PatchDiscriminator

PIXELS = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def discriminator():
    network = PatchDiscriminator(3, 4, jnp.float32)
    return network, network.init(jax.random.PRNGKey(0), PIXELS)


def test_looking_changes_nothing_and_names_the_layers_in_order(discriminator):
    network, params = discriminator
    logits, seen = with_activations(network.apply, params, PIXELS, {})
    np.testing.assert_array_equal(logits, network.apply(params, PIXELS))
    assert {name: activation.shape for name, activation in seen.items()} == {
        "convolution_0": (2, 10, 10, 4), "convolution_1": (2, 10, 10, 8), "convolution_2": (2, 10, 10, 16),
    }  # fmt: skip
    assert list(seen) == sorted(seen)


def test_the_output_follows_from_the_last_activation_and_its_offset(discriminator):
    network, params = discriminator
    _, seen = with_activations(network.apply, params, PIXELS, {})
    offset = np.random.default_rng(1).normal(size=seen["convolution_2"].shape).astype(np.float32)
    logits, moved = with_activations(network.apply, params, PIXELS, {"convolution_2": offset})
    last = params["params"]["convolution_3"]
    expected = jax.lax.conv_general_dilated(
        seen["convolution_2"] + offset, last["kernel"], (1, 1), [(1, 1), (1, 1)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    np.testing.assert_allclose(logits, expected[..., 0] + last["bias"][0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moved["convolution_2"], seen["convolution_2"] + offset, rtol=1e-6)


def test_an_encoder_s_last_activation_is_its_features_and_a_second_look_has_its_own_name():
    encoder = Encoder(4, jnp.float32)
    params = encoder.init(jax.random.PRNGKey(0), PIXELS)

    def twice(params, pixels):
        return encoder.apply(params, pixels) + encoder.apply(params, pixels[:, ::-1])

    output, seen = with_activations(twice, params, PIXELS, {})
    assert list(seen)[:4] == [f"convolution_{number}" for number in range(4)]
    assert list(seen)[4:] == [f"convolution_{number}/1" for number in range(4)]
    features = jnp.reshape(seen["convolution_3"] + seen["convolution_3/1"], output.shape)
    np.testing.assert_allclose(features, output, rtol=1e-6)
    ones = {"convolution_3/1": jnp.ones_like(seen["convolution_3"])}
    np.testing.assert_allclose(with_activations(twice, params, PIXELS, ones)[0], output + 1, rtol=1e-5)
