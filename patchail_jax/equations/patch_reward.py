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


def probability(logits: Float[Array, "*patches"]) -> Float[Array, "*patches"]:
    """``D``, in (0, 1)."""
    return jax.nn.sigmoid(logits)


def mode(logits: Float[Array, "*patches"]) -> Float[Array, "*patches"]:
    """``round(D)``: 1 where the expert is the likelier one, else 0 (LAIfO, Giammarino et al. 2024)."""
    return jnp.round(jax.nn.sigmoid(logits))


REWARD_FORMS: dict[str, RewardForm] = {
    "airl": airl,
    "gail": gail,
    "gail_log_d": gail_log_d,
    "fairl": fairl,
    "probability": probability,
    "mode": mode,
}

# Forms of one sign say something of every step, whoever made it: where episodes can end before their time, to go on
# living pays by itself with the first, and to end with the second.
NEVER_NEGATIVE = ("gail", "probability", "mode")
NEVER_POSITIVE = ("gail_log_d",)
