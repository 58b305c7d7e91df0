"""The fully convolutional patch discriminator (paper, Section 3.1 and Appendix C.1)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from patchail_jax.arrays import Images
from patchail_jax.networks.convolution import Convolution, form_for
from patchail_jax.networks.geometry import patch_layers
from patchail_jax.networks.layers import Network, scale_pixels

LEAK = 0.2


class PatchDiscriminator(Network):
    """``[B,H,W,C]`` pixels in 0..255 to one logit a patch, ``[B,P,P] float32``, high where the patch looks expert.

    Four ``kernel_size`` convolutions with ``channels``, 2x, 4x and 1 channels, LeakyReLU 0.2 between them; no sigmoid:
    losses and rewards take logits.
    """

    kernel_size: int
    channels: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, pixels: Images) -> Float[Array, "B P P"]:
        x = scale_pixels(pixels, self.dtype)
        widths = (self.channels, 2 * self.channels, 4 * self.channels, 1)
        for number, (width, layer) in enumerate(zip(widths, patch_layers(self.kernel_size), strict=True)):
            x = Convolution(width, layer, self.dtype, form_for(layer, width), name=f"convolution_{number}")(x)
            if number < 3:
                x = nn.leaky_relu(x, LEAK)
        return x[..., 0].astype(jnp.float32)
