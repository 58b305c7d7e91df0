"""The two action-value heads on one trunk (DrQ-v2)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from patchail_jax.networks.actor import Trunk
from patchail_jax.networks.layers import Dense, Network


class ValueHead(Network):
    """``[B, feature_size + A]`` to one value ``[B] float32``."""

    hidden_size: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B F"]) -> Float[Array, "B"]:
        for number in range(2):
            x = nn.relu(Dense(self.hidden_size, dtype=self.dtype, name=f"hidden_{number}")(x))
        # In float32: bfloat16 has steps of 0.5 near 100, and TD errors are differences of values.
        return Dense(1, dtype=jnp.float32, name="value")(x)[:, 0]


class Critic(Network):
    """``[B,F]`` encoder features and ``[B,A]`` actions to the values of both heads, ``[2,B] float32``.

    Without a trunk of its own it reads features ``[B,feature_size]`` that have been through one.
    """

    feature_size: int
    hidden_size: int
    dtype: DTypeLike
    own_trunk: bool = True

    def setup(self) -> None:
        if self.own_trunk:
            self.trunk = Trunk(self.feature_size, self.dtype)
        self.heads = [ValueHead(self.hidden_size, self.dtype) for _ in range(2)]

    def latent(self, features: Float[Array, "B F"]) -> Float[Array, "B {self.feature_size}"]:
        """``[B,F]`` encoder features to the ``[B,feature_size]`` that both heads read."""
        return self.trunk(features) if self.own_trunk else features

    def __call__(self, features: Float[Array, "B F"], actions: Float[Array, "B A"]) -> Float[Array, "2 B"]:
        x = jnp.concatenate([self.latent(features), actions.astype(self.dtype)], axis=-1)
        return jnp.stack([head(x) for head in self.heads])
