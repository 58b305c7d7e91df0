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

LogScores = Callable[[Float[Array, "*B rows columns"]], Float[Array, "*B rows columns"]]

_OVER_PATCHES = (-2, -1)


def log_exponential(logits: Float[Array, "*B rows columns"]) -> Float[Array, "*B rows columns"]:
    """``log(exp(l))``: the logits themselves, whose shares are the softmax."""
    return logits


# What a patch scores by its logit; a distribution is the shares of it. The published program's is the sigmoid.
LOG_SCORES: dict[str, LogScores] = {"sigmoid": jax.nn.log_sigmoid, "softmax": log_exponential}


def log_share(log_scores: Float[Array, "*B rows columns"]) -> Float[Array, "*B rows columns"]:
    """``log(score / sum score)`` over the patches ``[...,P,P]``: Delta."""
    return log_scores - jax.nn.logsumexp(log_scores, axis=_OVER_PATCHES, keepdims=True)


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
        log_scores: LogScores,
        *,
        axis_name: str,
    ) -> Float[Array, "B"]:
        """Similarity ``[B]`` of ``log_agent [B,P,P]`` to ``expert_logits [E,P,P]``; runs under ``axis_name``."""


def to_nearest(
    log_agent: Float[Array, "B rows columns"],
    expert_logits: Float[Array, "E rows columns"],
    log_scores: LogScores,
    *,
    axis_name: str,
) -> Float[Array, "B"]:
    """Eq. 6, the nearest of all expert pairs."""
    log_experts = log_share(log_scores(jax.lax.all_gather(expert_logits, axis_name, tiled=True)))
    return nearest_similarity(log_agent, log_experts)


def to_mean_logits(
    log_agent: Float[Array, "B rows columns"],
    expert_logits: Float[Array, "E rows columns"],
    log_scores: LogScores,
    *,
    axis_name: str,
) -> Float[Array, "B"]:
    """Eq. 7, the distribution of the expert's mean logits."""
    mean = jax.lax.pmean(jnp.mean(expert_logits, axis=0), axis_name)
    return mean_similarity(log_agent, log_share(log_scores(mean)))


def to_mean(
    log_agent: Float[Array, "B rows columns"],
    expert_logits: Float[Array, "E rows columns"],
    log_scores: LogScores,
    *,
    axis_name: str,
) -> Float[Array, "B"]:
    """Eq. 8, the mean of the expert's distributions."""
    return mean_similarity(log_agent, _log_mean(log_share(log_scores(expert_logits)), axis_name))


def to_mean_scores(
    log_agent: Float[Array, "B rows columns"],
    expert_logits: Float[Array, "E rows columns"],
    log_scores: LogScores,
    *,
    axis_name: str,
) -> Float[Array, "B"]:
    """The distribution of the expert's mean scores, as the published program has it in the place of Eq. 8."""
    return mean_similarity(log_agent, log_share(_log_mean(log_scores(expert_logits), axis_name)))


def _log_mean(logarithms: Float[Array, "E rows columns"], axis_name: str) -> Float[Array, "rows columns"]:
    """``log(mean(exp(l)))`` over the pairs of all devices; in logarithms, because shares of patches underflow."""

    def over_first(logarithms: Float[Array, "N rows columns"]) -> Float[Array, "rows columns"]:
        return jax.nn.logsumexp(logarithms, axis=0) - jnp.log(jnp.float32(logarithms.shape[0]))

    return over_first(jax.lax.all_gather(over_first(logarithms), axis_name))


EXPERTS: dict[str, ToExpert] = {
    "mean": to_mean,
    "mean_scores": to_mean_scores,
    "mean_logits": to_mean_logits,
    "nearest": to_nearest,
}
