"""Initialisation and pixel scaling shared by all networks (orthogonal, DrQ-v2)."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

Dense = functools.partial(nn.Dense, kernel_init=nn.initializers.orthogonal(1.0))


def scale_pixels(pixels: Any, dtype: Any) -> Any:
    """Pixels in 0..255, uint8 or float, to ``x / 255 - 0.5`` in ``dtype``."""
    return pixels.astype(dtype) / jnp.asarray(255.0, dtype) - jnp.asarray(0.5, dtype)
