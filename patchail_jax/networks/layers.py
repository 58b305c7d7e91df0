"""Initialisation and pixel scaling shared by all networks (orthogonal, DrQ-v2)."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from patchail_jax.networks.geometry import Layer

CONVOLUTION_INIT = nn.initializers.orthogonal(2.0**0.5)
DENSE_INIT = nn.initializers.orthogonal(1.0)

Dense = functools.partial(nn.Dense, kernel_init=DENSE_INIT)


def convolution(channels: int, layer: Layer, *, dtype: Any, name: str) -> nn.Conv:
    """A square convolution over ``[B,H,W,C]`` with orthogonal weights, gain sqrt(2)."""
    return nn.Conv(
        channels,
        (layer.kernel, layer.kernel),
        strides=layer.stride,
        padding=layer.padding,
        kernel_init=CONVOLUTION_INIT,
        dtype=dtype,
        name=name,
    )


def scale_pixels(pixels: Any, dtype: Any) -> Any:
    """Pixels in 0..255, uint8 or float, to ``x / 255 - 0.5`` in ``dtype``."""
    return pixels.astype(dtype) / jnp.asarray(255.0, dtype) - jnp.asarray(0.5, dtype)
