"""Patch rewards to one reward a sample, the Aggr of Eq. 5 (paper, Section 3.2 and Figure 6a)."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

Aggregation = Callable[[Float[Array, "*B P P"]], Float[Array, "*B"]]

_OVER_PATCHES = (-2, -1)


def mean(rewards: Float[Array, "*B P P"]) -> Float[Array, "*B"]:
    """``[...,P,P]`` to ``[...]``: the overall expertise. The paper's choice."""
    return jnp.mean(rewards, axis=_OVER_PATCHES)


def maximum(rewards: Float[Array, "*B P P"]) -> Float[Array, "*B"]:
    """``[...,P,P]`` to ``[...]``: the best patch."""
    return jnp.max(rewards, axis=_OVER_PATCHES)


def minimum(rewards: Float[Array, "*B P P"]) -> Float[Array, "*B"]:
    """``[...,P,P]`` to ``[...]``: the worst patch."""
    return jnp.min(rewards, axis=_OVER_PATCHES)


def median(rewards: Float[Array, "*B P P"]) -> Float[Array, "*B"]:
    """``[...,P,P]`` to ``[...]``: the middle patch, the mean of the middle two when their number is even."""
    return jnp.median(jnp.reshape(rewards, (*rewards.shape[:-2], -1)), axis=-1)


AGGREGATIONS: dict[str, Aggregation] = {"mean": mean, "max": maximum, "min": minimum, "median": median}
