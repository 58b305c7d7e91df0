"""The penalty against closed forms, and its fast form against automatic differentiation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.equations.gradient_penalty import PENALISED, by_channels, gradient_penalty, interpolate
from patchail_jax.networks.patch_discriminator import PatchDiscriminator
from tests.equations.plain_gradient_penalty import plain_gradient_penalty, plain_penalty_by_channels


def linear(weights, x):
    """Four patches, each the same linear function of the pixels: the summed gradient is 4 w everywhere."""
    return jnp.broadcast_to(jnp.sum(x * weights[None], axis=(1, 2))[:, None, None], (x.shape[0], 2, 2))


@pytest.mark.parametrize("scale", [255.0, 17.0])
def test_linear_discriminator_has_the_norm_of_its_weights(scale):
    weights = jnp.asarray([[0.1, -0.2], [0.0, 0.2]])
    x = jnp.asarray(np.random.default_rng(0).uniform(0, 255, (5, 2, 2)), jnp.float32)
    norm = 4 * 0.3 * 255 / scale
    expected = 10.0 / 4 * (norm - 1) ** 2
    plain, mean_norm = plain_gradient_penalty(functools.partial(linear, weights), x, weight=10.0, pixel_scale=scale)
    fast, fast_norm = gradient_penalty(linear, weights, x, weight=10.0, pixel_scale=scale)
    np.testing.assert_allclose([plain, fast], expected, rtol=1e-5)
    np.testing.assert_allclose([mean_norm, fast_norm], norm, rtol=1e-5)


@pytest.mark.parametrize("kernel_size", [1, 4])
@pytest.mark.parametrize("scale", [255.0, 32.0])
def test_fast_form_has_the_parameter_gradients_of_the_plain_one(kernel_size, scale):
    network = PatchDiscriminator(kernel_size, 4, jnp.float32)
    x = jnp.asarray(np.random.default_rng(1).uniform(0, 255, (3, 16, 16, 6)), jnp.float32)
    params = network.init(jax.random.PRNGKey(0), x)

    def plain(params):
        logits = functools.partial(network.apply, params)
        return plain_gradient_penalty(logits, x, weight=10.0, pixel_scale=scale)[0]

    def fast(params):
        return gradient_penalty(network.apply, params, x, weight=10.0, pixel_scale=scale)[0]

    np.testing.assert_allclose(plain(params), fast(params), rtol=1e-5)
    expected, got = jax.grad(plain)(params), jax.grad(fast)(params)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    for want, have in zip(jax.tree.leaves(expected), jax.tree.leaves(got), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5 * largest)


def test_the_penalty_of_probabilities_is_of_their_gradient_wherever_logits_lie():
    weights, x = jnp.asarray([3.0, -4.0]), jnp.asarray([[0.0, 0.0], [0.5, 0.0], [0.0, -2.0]])

    def logits(weights, x):
        return (x @ weights)[:, None, None]

    def fast(weights):
        return gradient_penalty(logits, weights, x, weight=10.0, of=PENALISED["probability"])

    d = 1 / (1 + np.exp(-np.asarray([0.0, 1.5, 8.0])))
    norms = 5 * d * (1 - d)  # |w| D (1 - D)
    np.testing.assert_allclose(fast(weights), [10 * np.mean((norms - 1) ** 2), np.mean(norms)], rtol=1e-5)
    wanted = jax.grad(lambda w: plain_gradient_penalty(lambda x: jax.nn.sigmoid(logits(w, x)), x, weight=10.0)[0])
    np.testing.assert_allclose(jax.grad(lambda w: fast(w)[0])(weights), wanted(weights), rtol=1e-4)


@pytest.mark.parametrize("devices", [1, 2, 4])
@pytest.mark.parametrize("samples", [4, 8])
def test_by_channels_is_the_published_program_s_on_any_number_of_devices(devices, samples):
    network = PatchDiscriminator(4, 4, jnp.float32)
    x = jnp.asarray(np.random.default_rng(1).uniform(0, 255, (samples, 16, 16, 6)), jnp.float32)
    params = network.init(jax.random.PRNGKey(0), x)
    expected, wanted = jax.value_and_grad(
        lambda params: plain_penalty_by_channels(functools.partial(network.apply, params), x, weight=1e6)
    )(params)

    def on_device(x, index):
        def penalty(params):
            norms_of = functools.partial(by_channels, axis_name="devices")
            return gradient_penalty(network.apply, params, x, weight=1e6, norms_of=norms_of, index=index)

        (value, _), gradient = jax.value_and_grad(penalty, has_aux=True)(params)
        return jax.lax.pmean((value, gradient), "devices")

    shards = jnp.reshape(x, (devices, -1, 16, 16, 6)), jnp.reshape(jnp.arange(samples), (devices, -1))
    found, got = jax.pmap(on_device, axis_name="devices")(*shards)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(wanted))
    for want, have in zip(jax.tree.leaves(wanted), jax.tree.leaves(got), strict=True):
        np.testing.assert_allclose(have[0], want, rtol=1e-4, atol=1e-5 * largest)
    by_sample, _ = gradient_penalty(network.apply, params, x, weight=1e6)
    assert abs(by_sample / expected - 1) > 0.1


def test_interpolation_takes_one_weight_a_sample():
    expert, agent = np.full((2, 3, 3), 200, np.uint8), np.full((2, 3, 3), 100, np.uint8)
    mixed = interpolate(jnp.asarray([1.0, 0.25]), jnp.asarray(expert), jnp.asarray(agent))
    np.testing.assert_allclose(mixed[0], 200.0)
    np.testing.assert_allclose(mixed[1], 125.0)
