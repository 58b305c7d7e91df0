"""Pixels get the mean of the patches that see them."""

import numpy as np
import pytest

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
