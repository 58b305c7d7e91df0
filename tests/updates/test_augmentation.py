"""Augmentations against padding and cropping, against squares, and against maps done by hand."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from patchail_jax.updates.augmentation import AUGMENTATIONS, _operations, warp

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


def rectangle(black):
    """Rows and columns of what is black ``[H,W]``, which is one rectangle or nothing."""
    rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
    assert black.sum() == len(rows) * len(columns)
    return rows, columns


def test_random_erasing_blackens_a_rectangle_of_every_other_stack_and_nothing_else():
    keys, stacks = draw(400, size=40)
    result = np.asarray(COMPILED["random_erasing"](keys, jnp.asarray(stacks), pad=0))
    sides, corners = [], []
    for stack, erased in zip(stacks, result, strict=True):
        black = (erased == 0).all(axis=-1)
        rows, columns = rectangle(black)
        np.testing.assert_array_equal(erased[~black], stack[~black])
        if black.any():
            sides.append((len(rows), len(columns)))
            corners.append((rows[0], columns[0]))
    assert 160 < len(sides) < 240
    shares = np.prod(sides, axis=1) / 40**2
    aspects = np.log([columns / rows for rows, columns in sides])
    assert shares.min() < 0.05 and shares.max() > 0.28 and shares.min() > 0.01 and shares.max() < 0.35
    assert aspects.min() < -0.9 and aspects.max() > 0.9 and np.abs(aspects).max() < np.log(3.3) + 0.3
    assert np.min(corners, axis=0).max() < 2 and np.max(np.add(corners, sides), axis=0).min() == 40


def test_random_resized_crop_keeps_a_ramp_a_ramp_inside_what_was_cut_out():
    size, count = 40, 300
    ramp = np.broadcast_to(np.arange(size, dtype=np.float32)[:, None, None], (count, size, size, 2))
    both = np.concatenate([ramp, ramp.swapaxes(1, 2)], axis=-1)
    keys = jax.random.split(jax.random.PRNGKey(0), count)
    result = np.asarray(COMPILED["random_resized_crop"](keys, jnp.asarray(both), pad=0))
    assert np.ptp(result[..., 0], axis=2).max() < 1e-3 and np.ptp(result[..., 2], axis=1).max() < 1e-3
    kept = []
    for profile in (result[:, :, 0, 0], result[:, 0, :, 2]):
        first, last = profile[:, 0], profile[:, -1]  # the outermost pixels, edges replicated
        np.testing.assert_allclose(np.stack([first, last]), np.round([first, last]), atol=1e-3)
        side = last - first + 1
        inner = np.clip((np.arange(size) + 0.5) * side[:, None] / size - 0.5, 0, side[:, None] - 1)
        np.testing.assert_allclose(profile, first[:, None] + inner, atol=1e-3)
        assert first.min() == 0 and last.max() == size - 1 and len(np.unique(first)) > 10
        kept.append(side)
    shares, aspects = kept[0] * kept[1] / size**2, np.log(kept[1] / kept[0])
    assert 0.06 < shares.min() < 0.12 and 0.9 < shares.max() <= 1
    assert np.abs(aspects).max() < np.log(4 / 3) + 0.12 and aspects.min() < -0.2 and aspects.max() > 0.2


def test_warps_by_hand():
    stack = jnp.arange(11, 20).reshape(3, 3, 1)
    still, turn, shear = jnp.eye(2), jnp.asarray([[0.0, -1.0], [1.0, 0.0]]), jnp.asarray([[1.0, 1.0], [0.0, 1.0]])

    def warped(matrix, offset):
        return warp(stack, matrix, jnp.asarray(offset))[..., 0].tolist()

    assert warped(still, [0.0, 0.0]) == [[11, 12, 13], [14, 15, 16], [17, 18, 19]]
    assert warped(still, [1.0, 0.0]) == [[14, 15, 16], [17, 18, 19], [2, 2, 2]]
    assert warped(still, [0.0, -1.0]) == [[2, 11, 12], [2, 14, 15], [2, 17, 18]]
    assert warped(turn, [0.0, 0.0]) == [[17, 14, 11], [18, 15, 12], [19, 16, 13]]
    assert warped(shear, [0.0, 0.0]) == [[2, 12, 16], [11, 15, 19], [14, 18, 2]]


def test_rand_augment_draws_every_operation():
    size = 84
    image = np.zeros((size, size, 3), np.uint8) + 255
    image[40:44, :, 0] = image[:, 40:44, 1] = 100  # a horizontal bar in the first channel, a vertical one in the second
    keys = jax.random.split(jax.random.PRNGKey(0), 400)
    stacks = jnp.asarray(np.broadcast_to(image, (400, size, size, 3)))
    results = np.asarray(COMPILED["rand_augment"](keys, stacks, pad=0))
    assert set(np.unique(results)) == {2, 100, 255}
    horizontal, vertical = ((results[..., channel] == 100) for channel in (0, 1))
    straight = (horizontal.sum(axis=2) >= size - 24).any(axis=1), (vertical.sum(axis=1) >= size - 24).any(axis=1)
    assert (straight[0] & ~straight[1]).any() and (~straight[0] & straight[1]).any()  # one axis' shear
    assert (~straight[0] & ~straight[1]).any()  # rotations
    # The first row of a horizontal bar that stayed straight: translations of 11 pixels, none, one or two of them.
    rows = {int(np.flatnonzero(one.sum(axis=1) >= size - 24)[0]) for one in horizontal[straight[0]]}
    columns = {int(np.flatnonzero(one.sum(axis=0) >= size - 24)[0]) for one in vertical[straight[1]]}
    assert {18, 29, 40, 51, 62} <= rows and {18, 29, 40, 51, 62} <= columns


@pytest.mark.parametrize(("kind", "expected"), [(0, "none"), (1, "shear x"), (5, "rotation")])
def test_an_operation_of_rand_augment_by_hand(kind, expected):
    matrices, offsets = _operations(jnp.ones(()), (84, 84, 3))
    points = {"none": (10.0, 20.0), "shear x": (10.0, 20.0 + 0.09 * 10.5), "rotation": None}
    place = np.asarray([10.0, 20.0]) - 41.5
    found = np.asarray(matrices[kind]) @ place + np.asarray(offsets[kind]) + 41.5
    if points[expected] is None:  # the distance from the centre stays, the angle is 9 degrees
        assert np.linalg.norm(found - 41.5) == pytest.approx(np.linalg.norm(place), rel=1e-5)
        cosine = (found - 41.5) @ place / np.linalg.norm(place) ** 2
        assert np.degrees(np.arccos(cosine)) == pytest.approx(9.0, abs=0.01)
    else:
        np.testing.assert_allclose(found, points[expected], atol=1e-4)


@pytest.mark.parametrize("name", ["random_shift", "none"])
@pytest.mark.parametrize("dtype", [np.uint8, jnp.bfloat16])
def test_no_strength_is_no_change(name, dtype):
    keys, stacks = draw(8, dtype=dtype)
    result = COMPILED[name](keys, jnp.asarray(stacks), pad=0)
    np.testing.assert_array_equal(np.asarray(result, np.float32), stacks.astype(np.float32))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, jnp.bfloat16])
def test_shape_and_type_stay(name, dtype):
    keys, stacks = draw(8, dtype=dtype)
    result = COMPILED[name](keys, jnp.asarray(stacks), pad=2)
    assert result.dtype == stacks.dtype and result.shape == stacks.shape


@pytest.mark.parametrize("name", CHANGING)
def test_all_frames_of_a_stack_are_augmented_alike_and_stacks_are_not(name):
    keys, stacks = draw(16, channels=3)
    stacks = jnp.asarray(np.concatenate([stacks[:1].repeat(16, axis=0)] * 3, axis=-1))
    result = np.asarray(COMPILED[name](keys, stacks, pad=3))
    np.testing.assert_array_equal(result[..., :3], result[..., 3:6])
    np.testing.assert_array_equal(result[..., :3], result[..., 6:])
    assert len(np.unique(result, axis=0)) > 6


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
