"""n-step temporal-difference target (DrQ-v2)."""

import chex
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


def td_target(
    rewards: Float[Array, "B n"], discounts: Float[Array, "B n"], next_values: Float[Array, "2 B"], *, discount: float
) -> Float[Array, "B"]:
    """``sum_i discount^i (prod_{j<i} d_j) r_i + discount^n (prod_j d_j) min(Q1, Q2)(s_{t+n}, a')``.

    ``rewards [B,n]``, environment ``discounts [B,n]`` (0 on termination), ``next_values [2,B]``; returns ``[B]``.
    """
    chex.assert_equal_shape([rewards, discounts])
    survival = jnp.cumprod(discounts, axis=1)
    reached = jnp.concatenate([jnp.ones_like(survival[:, :1]), survival[:, :-1]], axis=1)
    steps = rewards.shape[1]
    powers = discount ** jnp.arange(steps, dtype=jnp.float32)
    returns = jnp.sum(powers[None, :] * reached * rewards, axis=1)
    return returns + discount**steps * survival[:, -1] * jnp.min(next_values, axis=0)
