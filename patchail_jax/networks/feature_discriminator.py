"""What the encoder-based baselines judge: latent features of whole images, with one logit a pair (paper, Section 5)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from patchail_jax.arrays import Images
from patchail_jax.networks.actor import Trunk
from patchail_jax.networks.encoder import Encoder
from patchail_jax.networks.layers import Dense, Network


class ImageFeatures(Network):
    """``[B,H,W,3S]`` pixels in 0..255 to ``[B,feature_size]``: encoder and trunk, shaped as the critic's."""

    channels: int
    feature_size: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, pixels: Images) -> Float[Array, "B {self.feature_size}"]:
        features = Encoder(self.channels, self.dtype, name="encoder")(pixels)
        return Trunk(self.feature_size, self.dtype, name="trunk")(features)


class FeatureDiscriminator(Network):
    """``[B,F]`` latent features to ``[B,1,1] float32``: one patch, the whole image; high where it looks expert."""

    hidden_size: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, features: Float[Array, "B F"]) -> Float[Array, "B 1 1"]:
        x = features
        for number in range(2):
            x = nn.relu(Dense(self.hidden_size, dtype=self.dtype, name=f"hidden_{number}")(x))
        return Dense(1, dtype=self.dtype, name="logit")(x)[..., None].astype(jnp.float32)
