"""The transformer's shapes and tiles, and that the penalty's fast form holds for a network with curvature."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.equations.gradient_penalty import gradient_penalty
from patchail_jax.errors import UserError
from patchail_jax.networks.geometry import output_size, receptive_span, tile_layers
from patchail_jax.networks.patch_transformer import PatchTransformer
from tests.equations.plain_gradient_penalty import plain_gradient_penalty

SIZES = {"patch_size": 4, "width": 8, "heads": 2}
PIXELS = jnp.asarray(np.random.default_rng(1).uniform(0, 255, (3, 12, 12, 6)), jnp.float32)


def make(depth):
    network = PatchTransformer(**SIZES, depth=depth, dtype=jnp.float32)
    return network, network.init(jax.random.PRNGKey(0), PIXELS)


@pytest.fixture(scope="module")
def one_block():
    return make(1)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_one_float32_logit_a_tile_from_float32_parameters(one_block, dtype):
    _, params = one_block
    network = PatchTransformer(**SIZES, depth=1, dtype=dtype)
    logits = jax.jit(network.apply)(params, PIXELS.astype(np.uint8))
    assert logits.shape == (3, 3, 3) and logits.dtype == jnp.float32 and np.isfinite(logits).all()
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    assert len(np.unique(np.asarray(logits))) > 20


def test_tiles_fill_the_image_and_do_not_overlap():
    layers = tile_layers(12, 84)
    assert output_size(84, layers) == 7
    assert [receptive_span(index, 84, layers) for index in range(7)] == [(12 * i, 12 * i + 12) for i in range(7)]
    with pytest.raises(
        UserError,
        match="tiles of 8 pixels do not fill images of 84; use one of .2, 3, 4, 6, 7, 12.*config.transformer.patch",
    ):
        tile_layers(8, 84)


@pytest.mark.parametrize("depth", [0, 1])
def test_without_blocks_a_logit_sees_its_tile_alone_and_with_them_the_whole_image(one_block, depth):
    network, params = one_block if depth else make(0)
    gradient = jax.jit(jax.grad(lambda x: network.apply(params, x)[0, 1, 2]))(PIXELS)[0]
    seen = np.abs(gradient).sum(axis=-1) > 0
    assert seen[4:8, 8:12].all() and seen.sum() == (144 if depth else 16)


def test_every_place_has_its_own_embedding(one_block):
    network, params = one_block
    same = np.full_like(PIXELS, 90.0)
    assert len(np.unique(np.asarray(jax.jit(network.apply)(params, same))[0])) == 9


def test_the_fast_penalty_has_the_parameter_gradients_of_the_plain_one(one_block):
    (network, params), x = one_block, jnp.asarray(PIXELS)

    def plain(params):
        return plain_gradient_penalty(functools.partial(network.apply, params), x, weight=10.0)[0]

    def fast(params):
        return gradient_penalty(network.apply, params, x, weight=10.0)[0]

    (value, expected), (fast_value, got) = (jax.jit(jax.value_and_grad(form))(params) for form in (plain, fast))
    np.testing.assert_allclose(value, fast_value, rtol=1e-5)
    assert jax.tree.structure(expected) == jax.tree.structure(got)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    assert largest > 0.01
    for want, have in zip(jax.tree.leaves(expected), jax.tree.leaves(got), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-3, atol=1e-5 * largest)
