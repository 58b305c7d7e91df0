"""Image augmentations, one draw a stack and the same for all its frames (DrQ-v2; paper, Appendix B.4).

Each takes ``keys [B,2] uint32`` and ``stacks [B,H,W,C]`` of any type, and gives the same shape and type; integers are
rounded. ``pad``, in pixels, is the strength of the random shift; the others have the published program's strengths.
"""

import functools
import math
from collections.abc import Callable
from typing import Protocol

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, Real

from patchail_jax.arrays import Key, Keys, Scalar

Stack = Real[Array, "H W C"]
Stacks = Real[Array, "B H W C"]

TRIES = 10  # for a rectangle that fits
# RandAugment at magnitude 9 of 31.
OPERATIONS = 2  # one after the other
SHEAR, TRANSLATION, ROTATION = 0.3 * 9 / 30, 150 / 331 * 9 / 30, math.radians(30 * 9 / 30)
FILL = 2


class Augmentation(Protocol):
    """A random change of each stack."""

    def __call__(self, keys: Keys, stacks: Stacks, *, pad: int) -> Stacks:
        """``stacks`` of the same shape and type, changed."""


def random_shift(keys: Keys, stacks: Stacks, *, pad: int) -> Stacks:
    """Shifts each stack by a whole number of pixels in ``-pad..pad`` on both axes, edges replicated.

    Equal to padding by ``pad`` with replicated edges and cropping at a uniform offset in ``0..2 pad``.
    """

    def shift(key: Key, stack: Stack) -> Stack:
        offsets = jax.random.randint(key, (2,), -pad, pad + 1)
        rows = jnp.clip(jnp.arange(stack.shape[0]) + offsets[0], 0, stack.shape[0] - 1)
        columns = jnp.clip(jnp.arange(stack.shape[1]) + offsets[1], 0, stack.shape[1] - 1)
        return stack.at[rows[:, None], columns[None, :]].get(mode="promise_in_bounds")

    return _each(shift, keys, stacks)


def random_erasing(keys: Keys, stacks: Stacks, *, pad: int) -> Stacks:
    """Blackens a rectangle of every other stack: 2 to 33 % of its area, sides 0.3 to 3.3 apart (Zhong et al. 2020)."""
    del pad

    def erase(key: Key, stack: Stack) -> Stack:
        sides_key, place_key, whether_key = jax.random.split(key, 3)
        sides, fits = _rectangle(sides_key, stack, area=(0.02, 0.33), aspect=(0.3, 3.3))
        first = _place(place_key, stack, sides)
        places = (jnp.arange(size) - first[axis] for axis, size in enumerate(stack.shape[:2]))
        rows, columns = ((place >= 0) & (place < sides[axis]) for axis, place in enumerate(places))
        inside = (rows[:, None] & columns[None])[..., None]
        erased = fits & jax.random.bernoulli(whether_key, 0.5)
        return jnp.where(erased & inside, jnp.zeros((), stack.dtype), stack)

    return _each(erase, keys, stacks)


def random_resized_crop(keys: Keys, stacks: Stacks, *, pad: int) -> Stacks:
    """Cuts out a rectangle, 8 to 100 % of the area and sides 3/4 to 4/3 apart, and stretches it back, bilinearly."""
    del pad

    def crop(key: Key, stack: Stack) -> Stack:
        sides_key, place_key = jax.random.split(key)
        whole = jnp.asarray(stack.shape[:2])
        sides, fits = _rectangle(sides_key, stack, area=(0.08, 1.0), aspect=(0.75, 4 / 3))
        sides = jnp.where(fits, sides, whole)
        first = _place(place_key, stack, sides)
        rows, columns = (_stretch(stack.shape[axis], first[axis], sides[axis]) for axis in (0, 1))
        # HIGHEST, or an accelerator rounds the pixels to bfloat16.
        product = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
        resized = product("ih,jw,hwc->ijc", rows, columns, stack.astype(jnp.float32))
        return (jnp.round(resized) if jnp.issubdtype(stack.dtype, jnp.integer) else resized).astype(stack.dtype)

    return _each(crop, keys, stacks)


def rand_augment(keys: Keys, stacks: Stacks, *, pad: int) -> Stacks:
    """Two operations in a row, drawn from identity, shear and translation on either axis, and rotation.

    RandAugment (Cubuk et al. 2020) at magnitude 9 of 31 without its colour operations: shears of 0.09 from the first
    corner, translations of 0.136 sides cut to whole pixels, rotations of 9 degrees, either way. Nearest neighbour;
    what comes in from outside has the grey level 2.
    """
    del pad

    def augment(key: Key, stack: Stack) -> Stack:
        for number in range(OPERATIONS):
            kind_key, sign_key = jax.random.split(jax.random.fold_in(key, number))
            matrices, offsets = _operations(jnp.where(jax.random.bernoulli(sign_key), 1.0, -1.0), stack.shape)
            kind = jax.random.randint(kind_key, (), 0, len(matrices))
            stack = warp(stack, matrices[kind], offsets[kind])
        return stack

    return _each(augment, keys, stacks)


def unchanged(keys: Keys, stacks: Real[Array, "B *stack"], *, pad: int) -> Real[Array, "B *stack"]:
    """The stacks as they are, vectors ``[B,F]`` too."""
    del keys, pad
    return stacks


AUGMENTATIONS: dict[str, Augmentation] = {
    "random_shift": random_shift,
    "random_erasing": random_erasing,
    "random_resized_crop": random_resized_crop,
    "rand_augment": rand_augment,
    "none": unchanged,
}


def warp(stack: Stack, matrix: Float[Array, "2 2"], offset: Float[Array, "2"]) -> Stack:
    """``stack [H,W,C]`` where each pixel comes from ``matrix @ x + offset``, x its (row, column) from the centre.

    ``matrix [2,2]``, ``offset [2]`` in pixels; the nearest pixel, ``FILL`` where there is none.
    """
    height, width, _ = stack.shape
    centre = (height - 1) / 2, (width - 1) / 2
    row, column = jnp.meshgrid(jnp.arange(height) - centre[0], jnp.arange(width) - centre[1], indexing="ij")
    places = (matrix[axis, 0] * row + matrix[axis, 1] * column + offset[axis] + centre[axis] for axis in (0, 1))
    row, column = (jnp.floor(place + 0.5).astype(jnp.int32) for place in places)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    moved = stack[jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)]
    return jnp.where(inside[..., None], moved, jnp.asarray(FILL, stack.dtype))


def _operations(sign: Scalar, shape: tuple[int, ...]) -> tuple[Float[Array, "6 2 2"], Float[Array, "6 2"]]:
    """Where pixels come from in identity, two shears, two translations and a rotation: ``[6,2,2]`` and ``[6,2]``."""
    one, zero, shear, angle = jnp.ones(()), jnp.zeros(()), sign * SHEAR, sign * ROTATION
    down, across = (sign * float(int(TRANSLATION * size)) for size in shape[:2])
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    middle_row, middle_column = (shear * size / 2 for size in shape[:2])  # a shear leaves the first corner where it is
    still, straight = (one, zero, zero, one), (zero, zero)
    maps = (
        (still, straight),
        ((one, zero, shear, one), (zero, middle_row)),
        ((one, shear, zero, one), (middle_column, zero)),
        (still, (zero, across)),
        (still, (down, zero)),
        ((cosine, -sine, sine, cosine), straight),
    )
    matrices, offsets = (jnp.asarray(parts) for parts in zip(*maps, strict=True))
    return jnp.reshape(matrices, (-1, 2, 2)), offsets


def _rectangle(
    key: Key, stack: Stack, *, area: tuple[float, float], aspect: tuple[float, float]
) -> tuple[Int[Array, "2"], Bool[Array, ""]]:
    """Rows and columns of a rectangle, and whether one of ten tries fits into the image.

    Its share of the image's area is uniform in ``area``, the logarithm of width over height is in that of ``aspect``.
    """
    area_key, aspect_key = jax.random.split(key)
    height, width, _ = stack.shape
    areas = height * width * jax.random.uniform(area_key, (TRIES,), minval=area[0], maxval=area[1])
    ratios = jnp.exp(jax.random.uniform(aspect_key, (TRIES,), minval=math.log(aspect[0]), maxval=math.log(aspect[1])))
    rows, columns = (jnp.round(jnp.sqrt(sides)).astype(jnp.int32) for sides in (areas / ratios, areas * ratios))
    fits = (rows > 0) & (rows <= height) & (columns > 0) & (columns <= width)
    first = jnp.argmax(fits)
    return jnp.stack([rows[first], columns[first]]), fits[first]


def _place(key: Key, stack: Stack, sides: Int[Array, "2"]) -> Int[Array, "2"]:
    """The first row and column of a rectangle of ``sides``, anywhere inside the image."""
    room = jnp.maximum(jnp.asarray(stack.shape[:2]) - sides, 0)
    return jax.random.randint(key, (2,), 0, room + 1)


def _stretch(size: int, first: Int[Array, ""], side: Int[Array, ""]) -> Float[Array, "{size} {size}"]:
    """The weights by which ``size`` pixels are made, linearly, of ``side`` pixels from ``first`` on."""
    places = (jnp.arange(size) + 0.5) * side / size - 0.5
    places = first + jnp.clip(places, 0, side - 1)
    return jnp.maximum(0.0, 1.0 - jnp.abs(places[:, None] - jnp.arange(size)[None]))


def _each(augment: Callable[[Key, Stack], Stack], keys: Keys, stacks: Stacks) -> Stacks:
    chex.assert_rank([keys, stacks], [2, 4])
    return jax.vmap(augment)(keys, stacks)
