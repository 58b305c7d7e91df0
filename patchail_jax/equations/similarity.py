"""Similarity of the agent's patch distribution to the expert's (paper, Eq. 6 to 8).

The logits of a pair become a distribution over its patches, Delta; the similarity is
``exp(-KL(Delta_agent || Delta_E))``, 1 for equal distributions and near 0 for disjoint ones. Everything is in
logarithms: sigmoids of patches underflow.
"""

from collections.abc import Callable
from typing import Protocol

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


class ToExpert(Protocol):
    """How similar the agent is to the expert pairs of all devices, of which this one has ``expert_logits``."""

    def __call__(
        self,
        log_agent: Float[Array, "B rows columns"],
        expert_logits: Float[Array, "E rows columns"],
        to_log_distribution: ToDistribution,
        *,
        axis_name: str,
    ) -> Float[Array, "B"]:
        """Similarity ``[B]`` of ``log_agent [B,P,P]`` to ``expert_logits [E,P,P]``; runs under ``axis_name``."""


def to_nearest(
    log_agent: Float[Array, "B rows columns"],
    expert_logits: Float[Array, "E rows columns"],
    to_log_distribution: ToDistribution,
    *,
    axis_name: str,
) -> Float[Array, "B"]:
    """Eq. 6, the nearest of all expert pairs."""
    log_experts = to_log_distribution(jax.lax.all_gather(expert_logits, axis_name, tiled=True))
    return nearest_similarity(log_agent, log_experts)


def to_mean_logits(
    log_agent: Float[Array, "B rows columns"],
    expert_logits: Float[Array, "E rows columns"],
    to_log_distribution: ToDistribution,
    *,
    axis_name: str,
) -> Float[Array, "B"]:
    """Eq. 7, the distribution of the expert's mean logits."""
    log_expert = to_log_distribution(jax.lax.pmean(jnp.mean(expert_logits, axis=0), axis_name))
    return mean_similarity(log_agent, log_expert)


def to_mean(
    log_agent: Float[Array, "B rows columns"],
    expert_logits: Float[Array, "E rows columns"],
    to_log_distribution: ToDistribution,
    *,
    axis_name: str,
) -> Float[Array, "B"]:
    """Eq. 8, the mean of the expert's distributions; in logarithms, because shares of patches underflow."""
    devices = jax.lax.all_gather(_log_mean(to_log_distribution(expert_logits)), axis_name)
    return mean_similarity(log_agent, _log_mean(devices))


def _log_mean(logarithms: Float[Array, "N rows columns"]) -> Float[Array, "rows columns"]:
    """``log(mean(exp(l)))`` over the first axis."""
    return jax.nn.logsumexp(logarithms, axis=0) - jnp.log(jnp.float32(logarithms.shape[0]))


EXPERTS: dict[str, ToExpert] = {"mean": to_mean, "mean_logits": to_mean_logits, "nearest": to_nearest}
