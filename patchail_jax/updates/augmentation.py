"""Image augmentations, one draw a stack and the same for all its frames (DrQ-v2; paper, Appendix B.4).

Each takes ``keys [B,2] uint32`` and ``stacks [B,H,W,C]`` of any type, and gives the same shape and type; integers are
rounded. ``pad``, in pixels, is the strength of all of them: at 0 nothing changes.
"""

from collections.abc import Callable
from typing import Protocol

import chex
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Real

from patchail_jax.arrays import Key, Keys, Scalar

Stack = Real[Array, "H W C"]
Stacks = Real[Array, "B H W C"]

OPERATIONS = 2  # of RandAugment, one after the other


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


def random_cutout(keys: Keys, stacks: Stacks, *, pad: int) -> Stacks:
    """Blackens a square of ``2 pad`` pixels a side, anywhere inside the image (DeVries and Taylor 2017)."""

    def cutout(key: Key, stack: Stack) -> Stack:
        return _blacken(stack, *_square(key, stack, pad))

    return _each(cutout, keys, stacks)


def random_crop_resize(keys: Keys, stacks: Stacks, *, pad: int) -> Stacks:
    """Takes up to ``pad`` pixels, a fraction too, from each side and stretches the rest back, bilinearly."""

    def crop_resize(key: Key, stack: Stack) -> Stack:
        cut = jax.random.uniform(key, (2, 2), maxval=float(pad))  # axis, side
        sides = jnp.asarray(stack.shape[:2], jnp.float32)
        scale = sides / (sides - jnp.sum(cut, axis=1))
        # Two matrix products, with no gather; HIGHEST, or an accelerator rounds the pixels to bfloat16.
        resized = jax.image.scale_and_translate(
            stack.astype(jnp.float32),
            stack.shape,
            (0, 1),
            scale,
            -cut[:, 0] * scale,
            "linear",
            antialias=False,
            precision=jax.lax.Precision.HIGHEST,
        )
        return (jnp.round(resized) if jnp.issubdtype(stack.dtype, jnp.integer) else resized).astype(stack.dtype)

    return _each(crop_resize, keys, stacks)


def rand_augment(keys: Keys, stacks: Stacks, *, pad: int) -> Stacks:
    """Two operations in a row, each drawn from identity, shear and translation on either axis, rotation and cut-out.

    RandAugment (Cubuk et al. 2020) without its colour operations. Shears and rotations move the middle of an edge, and
    translations everything, by up to ``pad`` pixels either way; nearest neighbour, edges replicated.
    """

    def augment(key: Key, stack: Stack) -> Stack:
        for number in range(OPERATIONS):
            kind_key, amount_key, square_key = jax.random.split(jax.random.fold_in(key, number), 3)
            amount = jax.random.uniform(amount_key, minval=-float(pad), maxval=float(pad))
            matrices, offsets = _affine_maps(amount, 0.5 * min(stack.shape[:2]))
            kind = jax.random.randint(kind_key, (), 0, len(matrices) + 1)  # the last one is cut-out
            warped = warp(stack, matrices[kind], offsets[kind])  # an index past the end is taken for the last
            cut = _blacken(stack, *_square(square_key, stack, pad))
            stack = jnp.where(kind == len(matrices), cut, warped)
        return stack

    return _each(augment, keys, stacks)


def unchanged(keys: Keys, stacks: Real[Array, "B *stack"], *, pad: int) -> Real[Array, "B *stack"]:
    """The stacks as they are, vectors ``[B,F]`` too."""
    del keys, pad
    return stacks


AUGMENTATIONS: dict[str, Augmentation] = {
    "random_shift": random_shift,
    "random_cutout": random_cutout,
    "random_crop_resize": random_crop_resize,
    "rand_augment": rand_augment,
    "none": unchanged,
}


def warp(stack: Stack, matrix: Float[Array, "2 2"], offset: Float[Array, "2"]) -> Stack:
    """``stack [H,W,C]`` where each pixel comes from ``matrix @ x + offset``, x its (row, column) from the centre.

    ``matrix [2,2]``, ``offset [2]`` in pixels; the nearest pixel, the nearest edge's beyond the image.
    """
    height, width, _ = stack.shape
    centre = (height - 1) / 2, (width - 1) / 2
    row, column = jnp.meshgrid(jnp.arange(height) - centre[0], jnp.arange(width) - centre[1], indexing="ij")
    source_row = matrix[0, 0] * row + matrix[0, 1] * column + offset[0] + centre[0]
    source_column = matrix[1, 0] * row + matrix[1, 1] * column + offset[1] + centre[1]
    source_row, source_column = (jnp.floor(place + 0.5).astype(jnp.int32) for place in (source_row, source_column))
    return stack[jnp.clip(source_row, 0, height - 1), jnp.clip(source_column, 0, width - 1)]


def _affine_maps(amount: Scalar, radius: float) -> tuple[Float[Array, "6 2 2"], Float[Array, "6 2"]]:
    """Identity, two shears, two translations and a rotation, as ``[6,2,2]`` and ``[6,2]``."""
    angle, one, zero = amount / radius, jnp.ones(()), jnp.zeros(())
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    still, straight = (one, zero, zero, one), (zero, zero)
    maps = (
        (still, straight),
        ((one, angle, zero, one), straight),
        ((one, zero, angle, one), straight),
        (still, (amount, zero)),
        (still, (zero, amount)),
        ((cosine, -sine, sine, cosine), straight),
    )
    matrices, offsets = (jnp.asarray(parts) for parts in zip(*maps, strict=True))
    return jnp.reshape(matrices, (-1, 2, 2)), offsets


def _square(key: Key, stack: Stack, pad: int) -> tuple[Int[Array, "2"], int]:
    """The first (row, column) and the side of a random square inside the image."""
    side = min(2 * pad, *stack.shape[:2])
    return jax.random.randint(key, (2,), 0, jnp.asarray(stack.shape[:2]) - side + 1), side


def _blacken(stack: Stack, first: Int[Array, "2"], side: int) -> Stack:
    rows, columns = (jnp.arange(size) - first[axis] for axis, size in enumerate(stack.shape[:2]))
    inside = ((rows >= 0) & (rows < side))[:, None, None] & ((columns >= 0) & (columns < side))[None, :, None]
    return jnp.where(inside, jnp.zeros((), stack.dtype), stack)


def _each(augment: Callable[[Key, Stack], Stack], keys: Keys, stacks: Stacks) -> Stacks:
    chex.assert_rank([keys, stacks], [2, 4])
    return jax.vmap(augment)(keys, stacks)
