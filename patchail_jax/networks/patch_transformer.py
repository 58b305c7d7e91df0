"""A vision transformer that judges patches (Dosovitskiy et al. 2021): an alternative to the convolutions of the paper.

The image is cut into tiles that do not overlap, each becomes one token, and each token one logit. A logit depends on
the whole image, but on other tiles through attention alone: a picture of the rewards shows each on its own tile.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from patchail_jax.arrays import Images
from patchail_jax.networks.convolution import Convolution
from patchail_jax.networks.geometry import output_size, tile_layers
from patchail_jax.networks.layers import Dense, Network, orthogonal, scale_pixels

POSITION_INIT = nn.initializers.normal(0.02)


class Block(Network):
    """Tokens ``[B,N,width]`` to tokens: attention, then two dense layers, each behind a LayerNorm and residual."""

    heads: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B N width"]) -> Float[Array, "B N width"]:
        attention = nn.MultiHeadDotProductAttention(
            self.heads, kernel_init=orthogonal(1.0), dtype=self.dtype, force_fp32_for_softmax=True, name="attention"
        )
        x = x + attention(_norm(x, self.dtype, "norm_0"))
        hidden = nn.gelu(Dense(4 * x.shape[-1], dtype=self.dtype, name="hidden")(_norm(x, self.dtype, "norm_1")))
        return x + Dense(x.shape[-1], dtype=self.dtype, name="output")(hidden)


class PatchTransformer(Network):
    """``[B,H,W,C]`` pixels in 0..255 to one logit a tile, ``[B,P,P] float32``, high where the tile looks expert.

    ``patch_size`` pixels a side of a tile; ``width`` channels of a token, a multiple of ``heads``; ``depth`` blocks.
    ``UserError`` for an image that tiles do not fill.
    """

    patch_size: int
    width: int
    depth: int
    heads: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, pixels: Images) -> Float[Array, "B P P"]:
        (tile,) = layers = tile_layers(self.patch_size, pixels.shape[1])
        batch, side = pixels.shape[0], output_size(pixels.shape[1], layers)
        x = Convolution(self.width, tile, self.dtype, "space_to_depth", name="tiles")(scale_pixels(pixels, self.dtype))
        position = self.param("position", POSITION_INIT, (1, side * side, self.width), jnp.float32)
        x = jnp.reshape(x, (batch, side * side, self.width))
        x = x + jnp.broadcast_to(position, x.shape).astype(self.dtype)
        for number in range(self.depth):
            x = Block(self.heads, self.dtype, name=f"block_{number}")(x)
        logits = Dense(1, dtype=self.dtype, name="logits")(_norm(x, self.dtype, "norm"))
        return jnp.reshape(logits, (batch, side, side)).astype(jnp.float32)


def _norm(x: Float[Array, "B N width"], dtype: DTypeLike, name: str) -> Float[Array, "B N width"]:
    # LayerNorm in float32: its mean and variance lose too much in bfloat16.
    return nn.LayerNorm(epsilon=1e-6, dtype=jnp.float32, name=name)(x).astype(dtype)
