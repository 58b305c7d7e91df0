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

    @nn.compact
    def __call__(self, features: Any) -> Any:
        x = Trunk(self.feature_size, self.dtype, name="trunk")(features)
        for number in range(2):
            x = nn.relu(Dense(self.hidden_size, dtype=self.dtype, name=f"hidden_{number}")(x))
        x = Dense(self.action_size, dtype=self.dtype, name="mean")(x)
        return jnp.tanh(x.astype(jnp.float32))
