"""Where a network looks: spatial attention of one layer (paper, Figure 5)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float


def spatial_attention(
    activations: Float[Array | np.ndarray, "T h w c"], *, image_size: int
) -> Float[Array, "T {image_size} {image_size}"]:
    """Activations ``[T,h,w,c]`` to shares of attention ``[T,H,W]``.

    The mean over channels of their magnitudes, softmax over positions, resized to the frame (Zagoruyko and Komodakis
    2017). Before resizing, the shares of a step sum to 1; ``1 / (h w)`` is even attention.
    """
    steps, height, width, _ = activations.shape
    magnitude = jnp.mean(jnp.abs(activations), axis=-1)
    shares = jax.nn.softmax(jnp.reshape(magnitude, (steps, -1)), axis=-1)
    return jax.image.resize(jnp.reshape(shares, (steps, height, width)), (steps, image_size, image_size), "bilinear")
