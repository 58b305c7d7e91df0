"""Augmentations against padding and cropping, against squares, and against maps done by hand."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from patchail_jax.updates.augmentation import AUGMENTATIONS, warp

CHANGING = sorted(set(AUGMENTATIONS) - {"none"})
COMPILED = {name: jax.jit(augment, static_argnames="pad") for name, augment in AUGMENTATIONS.items()}


def draw(batch, size=10, channels=6, dtype=np.uint8):
    """Keys and stacks whose pixels are all above 0."""
    stacks = np.random.default_rng(0).integers(1, 256, (batch, size, size, channels)).astype(dtype)
    return jax.random.split(jax.random.PRNGKey(0), batch), stacks


def test_random_shift_is_an_integer_crop_of_the_edge_padded_stack():
    pad, (keys, stacks) = 3, draw(64)
    shifted = np.asarray(COMPILED["random_shift"](keys, jnp.asarray(stacks), pad=pad))
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
    assert len(seen) > 4 * pad  # and each axis has its own


def test_random_cutout_blackens_one_whole_square_anywhere_and_nothing_else():
    keys, stacks = draw(200)
    result = np.asarray(COMPILED["random_cutout"](keys, jnp.asarray(stacks), pad=2))
    corners = set()
    for stack, cut in zip(stacks, result, strict=True):
        black = (cut == 0).all(axis=-1)
        rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
        assert black.sum() == len(rows) * len(columns) == 16
        np.testing.assert_array_equal(cut[~black], stack[~black])
        corners.add((rows[0], columns[0]))
    assert {row for row, _ in corners} == {column for _, column in corners} == set(range(7))


def test_random_crop_resize_keeps_a_ramp_a_ramp():
    size, pad = 16, 3
    ramp = np.broadcast_to(np.arange(size, dtype=np.float32)[:, None, None], (50, size, size, 2))
    keys = jax.random.split(jax.random.PRNGKey(0), 50)
    for axis, stacks in ((1, ramp), (2, ramp.swapaxes(1, 2))):
        result = np.asarray(COMPILED["random_crop_resize"](keys, jnp.asarray(stacks), pad=pad)).swapaxes(1, axis)
        assert np.ptp(result, axis=(2, 3)).max() < 1e-4  # the other axis does not mix in
        profile = result[:, :, 0, 0]
        slopes = np.diff(profile, axis=1)[:, 2:-2]
        kept = slopes.mean(axis=1) * size  # pixels of the crop
        assert np.ptp(slopes, axis=1).max() < 1e-4 and kept.min() >= size - 2 * pad - 1e-3 and kept.max() <= size
        assert np.ptp(kept) > pad
        # The centre of the first pixel lies half a step inside the crop, whose start is in 0..pad.
        start = profile[:, 4] - 4.5 * kept / size + 0.5
        assert start.min() > -1e-3 and start.max() < pad + 1e-3 and np.ptp(start) > pad / 2


def test_warps_by_hand():
    stack = jnp.arange(9).reshape(3, 3, 1)
    still, turn, shear = jnp.eye(2), jnp.asarray([[0.0, -1.0], [1.0, 0.0]]), jnp.asarray([[1.0, 1.0], [0.0, 1.0]])

    def warped(matrix, offset):
        return warp(stack, matrix, jnp.asarray(offset))[..., 0].tolist()

    assert warped(still, [0.0, 0.0]) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert warped(still, [1.0, 0.0]) == [[3, 4, 5], [6, 7, 8], [6, 7, 8]]
    assert warped(still, [0.0, -1.0]) == [[0, 0, 1], [3, 3, 4], [6, 6, 7]]
    assert warped(turn, [0.0, 0.0]) == [[6, 3, 0], [7, 4, 1], [8, 5, 2]]
    assert warped(shear, [0.0, 0.0]) == [[0, 1, 5], [0, 4, 8], [3, 7, 8]]


def test_rand_augment_draws_every_operation():
    size, pad = 21, 4
    image = np.zeros((size, size, 3), np.uint8) + 255
    image[10, :, 0] = image[:, 10, 1] = 100  # a horizontal line in the first channel, a vertical one in the second
    keys = jax.random.split(jax.random.PRNGKey(0), 300)
    stacks = jnp.asarray(np.broadcast_to(image, (300, size, size, 3)))
    results = np.asarray(COMPILED["rand_augment"](keys, stacks, pad=pad))
    black = (results == 0).all(axis=-1).sum(axis=(1, 2))
    assert (black == 0).any() and (black == (2 * pad) ** 2).any()
    horizontal, vertical = results[..., 0] == 100, results[..., 1] == 100
    straight = horizontal.all(axis=2).any(axis=1), vertical.all(axis=1).any(axis=1)
    whole = black == 0
    assert (whole & straight[0] & straight[1]).any() and (whole & ~straight[0] & ~straight[1]).any()
    assert (whole & straight[0] & ~straight[1]).any() and (whole & ~straight[0] & straight[1]).any()  # one axis' shear
    rows = {int(np.flatnonzero(one.all(axis=1))[0]) for one in horizontal[whole & straight[0]]}
    columns = {int(np.flatnonzero(one.all(axis=0))[0]) for one in vertical[whole & straight[1]]}
    assert len(rows) > pad and len(columns) > pad  # translations
    # No edge's middle moves further than pad in an operation, and there are two.
    middle = horizontal[whole][:, :, 0]
    assert all(abs(int(np.flatnonzero(one)[0]) - 10) <= 2 * pad + 1 for one in middle if one.any())


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [np.uint8, jnp.bfloat16])
def test_no_strength_is_no_change_and_the_type_stays(name, dtype):
    keys, stacks = draw(8, dtype=dtype)
    result = COMPILED[name](keys, jnp.asarray(stacks), pad=0)
    assert result.dtype == stacks.dtype
    np.testing.assert_array_equal(np.asarray(result, np.float32), stacks.astype(np.float32))


@pytest.mark.parametrize("name", CHANGING)
def test_all_frames_of_a_stack_are_augmented_alike_and_stacks_are_not(name):
    keys, stacks = draw(16, channels=3)
    stacks = jnp.asarray(np.concatenate([stacks[:1].repeat(16, axis=0)] * 3, axis=-1))
    result = np.asarray(COMPILED[name](keys, stacks, pad=3))
    np.testing.assert_array_equal(result[..., :3], result[..., 3:6])
    np.testing.assert_array_equal(result[..., :3], result[..., 6:])
    assert len(np.unique(result, axis=0)) > 8


@pytest.mark.parametrize("name", CHANGING)
def test_a_sample_s_augmentation_depends_on_its_key_alone(name):
    keys, stacks = draw(4)
    whole = COMPILED[name](keys, jnp.asarray(stacks), pad=2)
    turned = COMPILED[name](keys[::-1], jnp.asarray(stacks[::-1]), pad=2)
    np.testing.assert_array_equal(whole, turned[::-1])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1), st.permutations(range(3)))
def test_a_shift_commutes_with_the_order_of_a_stack_s_frames(seed, order):
    _, stacks = draw(2, channels=9)
    keys = jax.random.split(jax.random.PRNGKey(seed), 2)

    def turned(images):
        return np.asarray(images).reshape(2, 10, 10, 3, 3)[..., order, :].reshape(2, 10, 10, 9)

    shift = COMPILED["random_shift"]
    np.testing.assert_array_equal(
        turned(shift(keys, jnp.asarray(stacks), pad=3)), shift(keys, jnp.asarray(turned(stacks)), pad=3)
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_shifts_of_what_is_far_from_the_edges_commute(seed, other):
    image = np.zeros((2, 20, 20, 3), np.uint8)
    image[:, 8:12, 8:12] = np.random.default_rng(0).integers(1, 256, (2, 4, 4, 3))
    one, two = (jax.random.split(jax.random.PRNGKey(key), 2) for key in (seed, other))
    shift = COMPILED["random_shift"]
    there = shift(two, shift(one, jnp.asarray(image), pad=3), pad=3)
    np.testing.assert_array_equal(there, shift(one, shift(two, jnp.asarray(image), pad=3), pad=3))
    assert (np.sort(np.asarray(there), axis=None) == np.sort(image, axis=None)).all()  # nothing is lost
