"""Augmentations against padding and cropping."""

import jax
import jax.numpy as jnp
import numpy as np

from patchail_jax.augmentation import random_shift


def test_random_shift_is_an_integer_crop_of_the_edge_padded_stack():
    pad, stacks = 3, np.random.default_rng(0).integers(0, 256, (64, 10, 10, 6), dtype=np.uint8)
    keys = jax.random.split(jax.random.PRNGKey(0), 64)
    shifted = np.asarray(random_shift(keys, jnp.asarray(stacks), pad=pad))
    assert shifted.shape == stacks.shape and shifted.dtype == np.uint8
    seen = set()
    for stack, result in zip(stacks, shifted, strict=True):
        padded = np.pad(stack, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
        crops = {
            (row, column): padded[row : row + 10, column : column + 10]
            for row in range(2 * pad + 1)
            for column in range(2 * pad + 1)
        }
        matching = [offset for offset, crop in crops.items() if np.array_equal(crop, result)]
        assert len(matching) == 1
        seen.add(matching[0])
    rows, columns = zip(*seen, strict=True)
    assert set(rows) == set(columns) == set(range(2 * pad + 1))  # every offset occurs on both axes


def test_a_sample_s_shift_depends_on_its_key_alone():
    stacks = jnp.asarray(np.random.default_rng(0).integers(0, 256, (4, 10, 10, 3), dtype=np.uint8))
    keys = jax.random.split(jax.random.PRNGKey(0), 4)
    whole = random_shift(keys, stacks, pad=2)
    np.testing.assert_array_equal(whole[2:], random_shift(keys[2:], stacks[2:], pad=2))
