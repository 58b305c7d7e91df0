"""Initialisation, precision and pixel scaling shared by all networks (orthogonal, DrQ-v2)."""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, PRNGKeyArray, Real, UInt32

from patchail_jax.arrays import Parameters
from patchail_jax.errors import choose


def orthogonal(gain: float) -> Callable[[PRNGKeyArray, tuple[int, ...], DTypeLike], Float[Array, "..."]]:
    """An initialiser of matrices ``[...,F]`` with orthonormal rows or columns, times ``gain`` (Saxe et al. 2014).

    Drawn by numpy: XLA compiles half a second for every shape, and a platform would give its own numbers.
    """

    def initialise(key: PRNGKeyArray, shape: tuple[int, ...], dtype: DTypeLike) -> Float[Array, "..."]:
        draw = functools.partial(_orthogonal, gain=gain, shape=shape)
        return jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, jnp.float32), key).astype(dtype)

    return initialise


def _orthogonal(
    key: UInt32[Array | np.ndarray, "2"], *, gain: float, shape: tuple[int, ...]
) -> Float[np.ndarray, "..."]:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    rng = np.random.default_rng(np.asarray(key))
    q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diagonal(r))  # or the distribution is not uniform
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(np.float32)


class Network(nn.Module):
    """A module that gives one array."""

    if TYPE_CHECKING:

        def apply(self, variables: Parameters, *arguments: Array, **options: object) -> Array: ...


Dense = functools.partial(nn.Dense, kernel_init=orthogonal(1.0))


def compute_dtype(precision: str) -> DTypeLike:
    """What layers compute in, of ``config.network.precision``; ``UserError`` if there is no such precision."""
    return choose({"float32": jnp.float32, "bfloat16": jnp.bfloat16}, precision, field="network.precision")


def scale_pixels(pixels: Real[Array, "*shape"], dtype: DTypeLike) -> Float[Array, "*shape"]:
    """Pixels in 0..255, uint8 or float, to ``x / 255 - 0.5``: computed in float32, then rounded to ``dtype`` once."""
    return (pixels.astype(jnp.float32) / 255.0 - 0.5).astype(dtype)
