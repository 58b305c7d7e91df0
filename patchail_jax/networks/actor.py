"""The deterministic policy head (DrQ-v2)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from patchail_jax.networks.layers import Dense


class Trunk(nn.Module):
    """``[B,F]`` encoder features to ``[B,feature_size]`` in (-1, 1): dense, LayerNorm, tanh."""

    feature_size: int
    dtype: Any

    @nn.compact
    def __call__(self, features: Any) -> Any:
        x = Dense(self.feature_size, dtype=self.dtype, name="projection")(features)
        # LayerNorm in float32: its mean and variance lose too much in bfloat16.
        x = nn.LayerNorm(epsilon=1e-5, dtype=jnp.float32, name="norm")(x)
        return jnp.tanh(x).astype(self.dtype)


class Actor(nn.Module):
    """``[B,F]`` encoder features to the mean action ``[B,A] float32`` in (-1, 1)."""

    action_size: int
    feature_size: int
    hidden_size: int
    dtype: Any

    def setup(self) -> None:
        self.trunk = Trunk(self.feature_size, self.dtype)
        self.hidden = [Dense(self.hidden_size, dtype=self.dtype) for _ in range(2)]
        self.mean = Dense(self.action_size, dtype=self.dtype)

    def latent(self, features: Any) -> Any:
        """``[B,F]`` encoder features to the ``[B,feature_size]`` that the policy reads."""
        return self.trunk(features)

    def __call__(self, features: Any) -> Any:
        x = self.latent(features)
        for layer in self.hidden:
            x = nn.relu(layer(x))
        return jnp.tanh(self.mean(x).astype(jnp.float32))
