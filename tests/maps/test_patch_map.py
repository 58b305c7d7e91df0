"""Pixels get the mean of the patches that see them."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from patchail_jax.maps.patch_map import patch_map
from patchail_jax.networks.geometry import output_size, patch_layers, receptive_span


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
def test_each_pixel_has_the_mean_of_the_patches_that_cover_it(kernel_size):
    side, layers = 20, patch_layers(kernel_size)
    patches = output_size(side, layers)
    rewards = np.random.default_rng(0).normal(size=(2, patches, patches)).astype(np.float32)
    spans = [receptive_span(index, side, layers) for index in range(patches)]
    expected = np.zeros((2, side, side))
    for row in range(side):
        for column in range(side):
            rows = [i for i, (first, end) in enumerate(spans) if first <= row < end]
            columns = [j for j, (first, end) in enumerate(spans) if first <= column < end]
            expected[:, row, column] = rewards[:, rows][:, :, columns].mean(axis=(1, 2))
    np.testing.assert_allclose(patch_map(rewards, image_size=side, layers=layers), expected, rtol=1e-4, atol=1e-5)


def test_one_patch_a_pixel_is_the_identity():
    rewards = np.arange(16.0).reshape(1, 4, 4)
    np.testing.assert_allclose(patch_map(rewards, image_size=4, layers=patch_layers(1)), rewards)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(12, 24), st.integers(0, 99))
def test_a_map_s_sum_is_each_patch_s_reward_over_its_receptive_field(kernel_size, side, seed):
    """A patch gives its reward to every pixel that it sees, shared with the others that see it."""
    layers = patch_layers(kernel_size)
    patches = output_size(side, layers)
    rewards = np.random.default_rng(seed).normal(size=(1, patches, patches)).astype(np.float32)
    seen = np.zeros((patches, side))
    for index in range(patches):
        first, end = receptive_span(index, side, layers)
        seen[index, first:end] = 1
    share = seen / np.maximum(seen.sum(axis=0), 1)  # of a pixel, along one axis
    weight = share.sum(axis=1)
    np.testing.assert_allclose(weight.sum(), (seen.sum(axis=0) > 0).sum())  # all pixels that are seen, once
    found = np.asarray(patch_map(rewards, image_size=side, layers=layers), np.float64)
    expected = np.sum(rewards[0] * np.outer(weight, weight))
    np.testing.assert_allclose(found.sum(), expected, rtol=1e-3, atol=1e-3)
    even = patch_map(np.full_like(rewards, 2.5), image_size=side, layers=layers)
    np.testing.assert_allclose(np.asarray(even)[0][np.outer(seen.any(axis=0), seen.any(axis=0))], 2.5, rtol=1e-5)
