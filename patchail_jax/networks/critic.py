"""The two action-value heads on one trunk (DrQ-v2)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from patchail_jax.networks.actor import Trunk
from patchail_jax.networks.layers import Dense


class ValueHead(nn.Module):
    """``[B, feature_size + A]`` to one value ``[B]``."""

    hidden_size: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for number in range(2):
            x = nn.relu(Dense(self.hidden_size, dtype=self.dtype, name=f"hidden_{number}")(x))
        return Dense(1, dtype=self.dtype, name="value")(x)[:, 0]


class Critic(nn.Module):
    """``[B,F]`` encoder features and ``[B,A]`` actions to the values of both heads, ``[2,B] float32``."""

    feature_size: int
    hidden_size: int
    dtype: Any

    def setup(self) -> None:
        self.trunk = Trunk(self.feature_size, self.dtype)
        self.heads = [ValueHead(self.hidden_size, self.dtype) for _ in range(2)]

    def latent(self, features: Any) -> Any:
        """``[B,F]`` encoder features to the ``[B,feature_size]`` that both heads read."""
        return self.trunk(features)

    def __call__(self, features: Any, actions: Any) -> Any:
        x = jnp.concatenate([self.latent(features), actions.astype(self.dtype)], axis=-1)
        return jnp.stack([head(x) for head in self.heads]).astype(jnp.float32)
