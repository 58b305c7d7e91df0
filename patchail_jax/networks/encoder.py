"""The image encoder shared by actor and critic (DrQ-v2)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from patchail_jax.arrays import Images
from patchail_jax.networks.convolution import Convolution
from patchail_jax.networks.geometry import encoder_layers
from patchail_jax.networks.layers import Network, scale_pixels


class Encoder(Network):
    """``[B,H,W,3S]`` pixels in 0..255 to ``[B, P*P*channels]`` features: 84 pixels and 32 channels give 39,200."""

    channels: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, pixels: Images) -> Float[Array, "B F"]:
        x = scale_pixels(pixels, self.dtype)
        for number, layer in enumerate(encoder_layers()):
            x = nn.relu(Convolution(self.channels, layer, self.dtype, name=f"convolution_{number}")(x))
        return jnp.reshape(x, (x.shape[0], -1))


class Identity(Network):
    """Stands where an encoder would, for observations ``[B,F]`` that are features already."""

    dtype: DTypeLike

    @nn.compact
    def __call__(self, features: Float[Array, "B F"]) -> Float[Array, "B F"]:
        return features.astype(self.dtype)
