"""Exploration noise around the deterministic policy, and the policy's loss (DrQ-v2)."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from patchail_jax.arrays import Scalar

ACTION_LIMIT = 1.0 - 1e-6


def clamp_straight_through(actions: Float[Array, "*B A"]) -> Float[Array, "*B A"]:
    """Actions clamped to (-1, 1), 1e-6 inside; the gradient passes as if they had not been."""
    return actions + jax.lax.stop_gradient(jnp.clip(actions, -ACTION_LIMIT, ACTION_LIMIT) - actions)


def noisy_action(
    mean: Float[Array, "B A"], noise: Float[Array, "B A"], *, std: Scalar | float, clip: float | None
) -> Float[Array, "B A"]:
    """``clamp(mean + clip(std * noise))``: mean and standard-normal noise ``[B,A]``, clip +-0.3 or None for acting."""
    deviation = std * noise
    if clip is not None:
        deviation = jnp.clip(deviation, -clip, clip)
    return clamp_straight_through(mean + deviation)


def policy_loss(values: Float[Array, "2 B"]) -> Scalar:
    """``-E[min(Q1, Q2)(s, a)]`` for the values ``[2,B]`` of the policy's own noisy actions."""
    # Not jnp.min: its gradient is 0/0 where a compiler rounds the values and their minimum differently.
    return -jnp.mean(jnp.minimum(values[0], values[1]))


def preactivation_penalty(preactivations: Float[Array, "B A"]) -> Scalar:
    """``E[u^2]`` for the ``u [B,A]`` that the mean actions are the tanh of (Fujimoto et al. 2025, MR.Q).

    It moves an action away from its bound even where tanh is flat and passes on next to nothing of the critic's slope:
    DrQ-v2's runs that never learn are those whose actions have come there (Bjorck et al. 2022).
    """
    return jnp.mean(jnp.square(preactivations))
