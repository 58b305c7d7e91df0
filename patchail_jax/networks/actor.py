"""The deterministic policy head (DrQ-v2)."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from patchail_jax.networks.layers import Dense, Network


class Trunk(Network):
    """``[B,F]`` encoder features to ``[B,feature_size]`` in (-1, 1): dense, LayerNorm, tanh."""

    feature_size: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, features: Float[Array, "B F"]) -> Float[Array, "B {self.feature_size}"]:
        x = Dense(self.feature_size, dtype=self.dtype, name="projection")(features)
        # LayerNorm in float32: its mean and variance lose too much in bfloat16.
        x = nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32, name="norm")(x)
        return jnp.tanh(x).astype(self.dtype)


class Actor(Network):
    """``[B,F]`` encoder features to the mean action ``[B,A] float32`` in (-1, 1).

    Without a trunk of its own it reads features ``[B,feature_size]`` that have been through one.
    """

    action_size: int
    feature_size: int
    hidden_size: int
    dtype: DTypeLike
    own_trunk: bool = True

    def setup(self) -> None:
        if self.own_trunk:
            self.trunk = Trunk(self.feature_size, self.dtype)
        self.hidden = [Dense(self.hidden_size, dtype=self.dtype) for _ in range(2)]
        self.mean = Dense(self.action_size, dtype=jnp.float32)

    def latent(self, features: Float[Array, "B F"]) -> Float[Array, "B {self.feature_size}"]:
        """``[B,F]`` encoder features to the ``[B,feature_size]`` that the policy reads."""
        return self.trunk(features) if self.own_trunk else features

    def preactivation(self, features: Float[Array, "B F"]) -> Float[Array, "B {self.action_size}"]:
        """``[B,F]`` encoder features to what the mean action is the tanh of, ``[B,A] float32``."""
        x = self.latent(features)
        for layer in self.hidden:
            x = nn.relu(layer(x))
        return self.mean(x)

    def __call__(self, features: Float[Array, "B F"]) -> Float[Array, "B {self.action_size}"]:
        return jnp.tanh(self.preactivation(features))
