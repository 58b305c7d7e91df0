"""The fast forms of a convolution are the plain one: values and gradients."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.networks.convolution import FORMS, Convolution, plain
from patchail_jax.networks.geometry import Layer

CASES = [
    ("space_to_depth", Layer(4, 2, 1), 12, 5),
    ("space_to_depth", Layer(4, 2, 1), 13, 5),
    ("space_to_depth", Layer(3, 2, 0), 12, 5),
    ("space_to_depth", Layer(5, 2, 1), 12, 5),
    ("space_to_depth", Layer(2, 2, 1), 11, 5),
    ("space_to_depth", Layer(4, 3, 1), 13, 5),
    ("one_channel", Layer(4, 1, 1), 9, 1),
    ("one_channel", Layer(1, 1, 0), 5, 1),
    ("one_channel", Layer(8, 1, 1), 10, 1),
]


@pytest.mark.parametrize(("form", "layer", "side", "filters"), CASES)
def test_a_fast_form_equals_the_plain_one(form, layer, side, filters):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, side, side, 3)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(layer.kernel, layer.kernel, 3, filters)), jnp.float32)

    def both(function):
        values, pull_back = jax.vjp(lambda x, kernel: function(x, kernel, layer), x, kernel)
        return values, *pull_back(jnp.cos(values))

    for fast, wanted in zip(both(FORMS[form]), both(plain), strict=True):
        scale = float(jnp.abs(wanted).max())
        np.testing.assert_allclose(fast, wanted, rtol=1e-5, atol=1e-5 * scale)


def test_the_layer_is_flax_s_own_with_the_same_parameters():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 9, 3)), jnp.float32)
    ours = Convolution(4, Layer(3, 2, 1), jnp.float32, "space_to_depth")
    params = ours.init(jax.random.PRNGKey(0), x)
    flax_layer = nn.Conv(4, (3, 3), strides=2, padding=1)
    np.testing.assert_allclose(ours.apply(params, x), flax_layer.apply(params, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_bias_gradient_is_summed_over_all_places_in_float32(dtype):
    network = Convolution(1, Layer(1, 1, 0), dtype)
    x = jnp.ones((8, 16, 16, 1))
    params = network.init(jax.random.PRNGKey(0), x)
    gradient = jax.grad(lambda params: jnp.mean(network.apply(params, x).astype(jnp.float32)))(params)
    np.testing.assert_allclose(gradient["params"]["bias"], 1.0, rtol=1e-3)  # in bfloat16 256 of 2,048 terms


@pytest.mark.parametrize(
    ("form", "layer", "filters", "fast"),
    [
        ("space_to_depth", Layer(4, 2, 1), 8, "2x2x12x8"),
        ("one_channel", Layer(4, 1, 1), 1, "dot_general"),
    ],
)
def test_the_platform_that_a_program_is_lowered_for_decides_and_not_the_one_that_lowers_it(form, layer, filters, fast):
    """So what is compiled for an accelerator that is not here is what runs on it, forward and backward."""
    network = Convolution(filters, layer, jnp.float32, form)
    x = jnp.ones((2, 12, 12, 3))
    params = network.init(jax.random.PRNGKey(0), x)

    def gradient(params, x):
        return jax.grad(lambda params, x: network.apply(params, x).sum(), argnums=(0, 1))(params, x)

    for function in (network.apply, gradient):
        for platform in ("cpu", "cuda", "tpu"):
            text = jax.jit(function).trace(params, x).lower(lowering_platforms=(platform,)).as_text()
            computed = [line for line in text.splitlines() if re.search("stablehlo.(convolution|dot_general)", line)]
            assert any(fast in line for line in computed) == (platform == "cuda"), (platform, function)
        assert "conditional(" not in jax.jit(function).lower(params, x).compile().as_text()  # decided beforehand
