"""Where a network looks: spatial attention of one layer (paper, Figure 5)."""

from typing import Any

import jax
import jax.numpy as jnp


def spatial_attention(activations: Any, *, image_size: int) -> Any:
    """Activations ``[T,h,w,c]`` to shares of attention ``[T,H,W]``.

    The mean over channels of their magnitudes, softmax over positions, resized to the frame (Zagoruyko and Komodakis
    2017). Before resizing, the shares of a step sum to 1; ``1 / (h w)`` is even attention.
    """
    steps, height, width, _ = activations.shape
    magnitude = jnp.mean(jnp.abs(activations), axis=-1)
    shares = jax.nn.softmax(jnp.reshape(magnitude, (steps, -1)), axis=-1)
    return jax.image.resize(jnp.reshape(shares, (steps, height, width)), (steps, image_size, image_size), "bilinear")
