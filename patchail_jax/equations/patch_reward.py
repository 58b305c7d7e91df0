"""Patch logits to patch rewards, the h of Eq. 5 (paper, Section 3.2)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

RewardForm = Callable[[Float[Array, "*patches"]], Float[Array, "*patches"]]


def airl(logits: Float[Array, "*patches"]) -> Float[Array, "*patches"]:
    """``log D - log(1 - D)``, which is the logit itself (AIRL, DAC). The paper's choice."""
    return logits


def gail(logits: Float[Array, "*patches"]) -> Float[Array, "*patches"]:
    """``-log(1 - D)``: positive everywhere."""
    return jax.nn.softplus(logits)


def gail_log_d(logits: Float[Array, "*patches"]) -> Float[Array, "*patches"]:
    """``log D``: negative everywhere."""
    return -jax.nn.softplus(-logits)


def fairl(logits: Float[Array, "*patches"]) -> Float[Array, "*patches"]:
    """``-d exp(d)`` for logit d, the forward-KL reward of Ghasemipour et al. 2020."""
    return -logits * jnp.exp(logits)


REWARD_FORMS: dict[str, RewardForm] = {"airl": airl, "gail": gail, "gail_log_d": gail_log_d, "fairl": fairl}
