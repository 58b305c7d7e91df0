"""Patch rewards to one reward a sample, the Aggr of Eq. 5 (paper, Section 3.2 and Figure 6a)."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

_OVER_PATCHES = (-2, -1)


def mean(rewards: Any) -> Any:
    """``[...,P,P]`` to ``[...]``: the overall expertise. The paper's choice."""
    return jnp.mean(rewards, axis=_OVER_PATCHES)


def maximum(rewards: Any) -> Any:
    """``[...,P,P]`` to ``[...]``: the best patch."""
    return jnp.max(rewards, axis=_OVER_PATCHES)


def minimum(rewards: Any) -> Any:
    """``[...,P,P]`` to ``[...]``: the worst patch."""
    return jnp.min(rewards, axis=_OVER_PATCHES)


def median(rewards: Any) -> Any:
    """``[...,P,P]`` to ``[...]``: the middle patch, the mean of the middle two when their number is even."""
    return jnp.median(jnp.reshape(rewards, (*rewards.shape[:-2], -1)), axis=-1)


AGGREGATIONS: dict[str, Callable[[Any], Any]] = {"mean": mean, "max": maximum, "min": minimum, "median": median}
