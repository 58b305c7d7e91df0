"""Patch rewards mapped back on the pixels they were computed from (paper, Figures 1 and 2)."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from patchail_jax.networks.geometry import Layer, receptive_span


def patch_map(
    rewards: Float[Array | np.ndarray, "T P P"], *, image_size: int, layers: tuple[Layer, ...]
) -> Float[Array, "T {image_size} {image_size}"]:
    """``[T,P,P]`` patch rewards to ``[T,H,W]``: each pixel has the mean of the patches whose receptive field covers it.

    ``layers`` are the discriminator's (``geometry.patch_layers``). Pixels that no patch covers are 0.
    """
    patches = rewards.shape[-1]
    covers = np.zeros((patches, image_size), np.float32)
    for index in range(patches):
        first, end = receptive_span(index, image_size, layers)
        covers[index, first:end] = 1.0
    # A patch covers a rectangle, so coverage is a product over the two axes.
    total = jnp.einsum("tij,ih,jw->thw", rewards, covers, covers)
    count = covers.sum(axis=0)[:, None] * covers.sum(axis=0)[None, :]
    return total / np.maximum(count, 1.0)[None]


def weighted_patch_map(
    rewards: Float[Array | np.ndarray, "T H W"], attention: Float[Array | np.ndarray, "T H W"]
) -> Float[Array | np.ndarray, "T H W"]:
    """Patch rewards ``[T,H,W]`` weighted by the spatial attention ``[T,H,W]``: the product of the two (Figure 1)."""
    return rewards * attention
