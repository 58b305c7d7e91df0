"""Behaviour cloning, alone and beside the policy's loss (paper, Appendix B.3; ROT, Haldar et al. 2022)."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from patchail_jax.arrays import Scalar
from patchail_jax.equations.policy import policy_loss


def log_likelihood(mean: Float[Array, "B A"], actions: Float[Array, "B A"], *, std: float) -> Float[Array, "B"]:
    """``log pi(a|s)`` of a normal policy, ``[B]``: ``-sum_i ((a_i - m_i)^2 / (2 std^2) + log(std sqrt(2 pi)))``.

    ``mean`` and ``actions [B,A]``.
    """
    return jnp.sum(jax.scipy.stats.norm.logpdf(actions, mean, std), axis=-1)


def cloned_policy_loss(
    values: Float[Array, "2 B"], likelihood: Float[Array, "E"], *, weight: Scalar | float, scale: float
) -> Scalar:
    """``-(1 - w) E[min(Q1, Q2)(s, a)] - scale * w * E[log pi(a_E|s_E)]`` (Appendix B.3).

    ``values [2,B]`` of the policy's own noisy actions, ``likelihood [E]``, the expert's, ``weight []`` w in [0, 1].
    """
    return (1.0 - weight) * policy_loss(values) - scale * weight * jnp.mean(likelihood)


def soft_q_filter(reference_values: Float[Array, "2 B"], values: Float[Array, "2 B"]) -> Scalar:
    """ROT's w: the share of the samples at which a frozen policy's action is worth more than the policy's own.

    Both ``[2,B]``, by both heads; an action is worth the smaller one.
    """
    return jnp.mean(jnp.min(reference_values, axis=0) > jnp.min(values, axis=0))
