"""Patch logits to patch rewards, the h of Eq. 5 (paper, Section 3.2)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def airl(logits: Any) -> Any:
    """``log D - log(1 - D)``, which is the logit itself (AIRL, DAC). The paper's choice."""
    return logits


def gail(logits: Any) -> Any:
    """``-log(1 - D)``: positive everywhere."""
    return jax.nn.softplus(logits)


def gail_log_d(logits: Any) -> Any:
    """``log D``: negative everywhere."""
    return -jax.nn.softplus(-logits)


def fairl(logits: Any) -> Any:
    """``-d exp(d)`` for logit d, the forward-KL reward of Ghasemipour et al. 2020."""
    return -logits * jnp.exp(logits)


REWARD_FORMS: dict[str, Callable[[Any], Any]] = {"airl": airl, "gail": gail, "gail_log_d": gail_log_d, "fairl": fairl}
