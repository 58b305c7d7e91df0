"""The image encoder shared by actor and critic (DrQ-v2)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from patchail_jax.networks.convolution import Convolution
from patchail_jax.networks.geometry import encoder_layers
from patchail_jax.networks.layers import scale_pixels


class Encoder(nn.Module):
    """``[B,H,W,3S]`` pixels in 0..255 to ``[B, P*P*channels]`` features: 84 pixels and 32 channels give 39,200."""

    channels: int
    dtype: Any

    @nn.compact
    def __call__(self, pixels: Any) -> Any:
        x = scale_pixels(pixels, self.dtype)
        for number, layer in enumerate(encoder_layers()):
            x = nn.relu(Convolution(self.channels, layer, self.dtype, name=f"convolution_{number}")(x))
        return jnp.reshape(x, (x.shape[0], -1))


class Identity(nn.Module):
    """Stands where an encoder would, for observations ``[B,F]`` that are features already."""

    dtype: Any

    @nn.compact
    def __call__(self, features: Any) -> Any:
        return features.astype(self.dtype)
