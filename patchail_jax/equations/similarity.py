"""Similarity of the agent's patch distribution to the expert's (paper, Eq. 6 to 8).

The logits of a pair become a distribution over its patches, Delta; the similarity is
``exp(-KL(Delta_agent || Delta_E))``, 1 for equal distributions and near 0 for disjoint ones. Everything is in
logarithms: sigmoids of patches underflow.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

ToDistribution = Callable[[Float[Array, "*B rows columns"]], Float[Array, "*B rows columns"]]

_OVER_PATCHES = (-2, -1)


def log_sigmoid_share(logits: Float[Array, "*B rows columns"]) -> Float[Array, "*B rows columns"]:
    """``log(sigmoid(l) / sum sigmoid(l))`` over the patches ``[...,P,P]``: Delta as the published program has it."""
    scores = jax.nn.log_sigmoid(logits)
    return scores - jax.nn.logsumexp(scores, axis=_OVER_PATCHES, keepdims=True)


def log_softmax(logits: Float[Array, "*B rows columns"]) -> Float[Array, "*B rows columns"]:
    """``log(softmax(l))`` over the patches ``[...,P,P]``."""
    return jax.nn.log_softmax(logits, axis=_OVER_PATCHES)


DISTRIBUTIONS: dict[str, ToDistribution] = {"sigmoid": log_sigmoid_share, "softmax": log_softmax}


def divergence(log_p: Float[Array, "*B rows columns"], log_q: Float[Array, "*#B rows columns"]) -> Float[Array, "*B"]:
    """``KL(p || q)`` over patches, ``[...]``, of distributions ``[...,P,P]`` of equal rank, given as logarithms."""
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=_OVER_PATCHES)


def nearest_similarity(
    log_agent: Float[Array, "B rows columns"], log_experts: Float[Array, "E rows columns"]
) -> Float[Array, "B"]:
    """Eq. 6: ``exp(-min_E KL(Delta_agent || Delta_E))``, ``[B]``; ``log_agent [B,P,P]``, ``log_experts [E,P,P]``."""
    agent = jnp.exp(log_agent)
    entropy = jnp.sum(agent * log_agent, axis=_OVER_PATCHES)
    cross = jnp.einsum("bij,eij->be", agent, log_experts, precision=jax.lax.Precision.HIGHEST)
    return jnp.exp(-jnp.min(entropy[:, None] - cross, axis=1))


def mean_similarity(
    log_agent: Float[Array, "B rows columns"], log_expert: Float[Array, "rows columns"]
) -> Float[Array, "B"]:
    """Eq. 7 and 8: ``exp(-KL(Delta_agent || Delta_E))``, ``[B]``; ``log_agent [B,P,P]``, one ``log_expert [P,P]``."""
    return jnp.exp(-divergence(log_agent, log_expert[None]))
