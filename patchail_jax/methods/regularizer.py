"""The similarity regulariser of PatchAIL-W and -B (paper, Eq. 6 to 10), by ``config.similarity``."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from patchail_jax.equations.regularized_reward import REGULARIZERS
from patchail_jax.equations.similarity import EXPERTS, LOG_SCORES, log_share
from patchail_jax.errors import choose
from patchail_jax.methods.method import Metrics, SubConfig
from patchail_jax.updates.gradient_step import DEVICE_AXIS


class Regularizer(NamedTuple):
    """What the similarity is taken between, and what it does to the rewards."""

    every_step: bool  # the agent's pairs are each step's (s, s'); else one a window, (s_t, s_{t+n})
    whole_demonstration: bool  # the expert's pairs are one demonstration's; else the update's
    apply: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array, Metrics]]
    """``apply(rewards [B,n], agent_logits [B,m,P,P], expert_logits [E,P,P], scale []) -> (rewards [B,n], scale,
    metrics)``; ``scale`` is lambda, 0 until the first update sets it. Runs under ``DEVICE_AXIS``."""


def make_regularizer(config: SubConfig) -> Regularizer | None:
    """By ``config.similarity``, None without one; ``UserError`` names a field that does not exist."""
    regularize = choose({"none": None, **REGULARIZERS}, config["regularizer"], field="similarity.regularizer")
    log_scores = choose(LOG_SCORES, config["distribution"], field="similarity.distribution")
    similarity_to = choose(EXPERTS, config["expert"], field="similarity.expert")
    whole = choose({"batch": False, "trajectory": True}, config["expert_pairs"], field="similarity.expert_pairs")
    every_step = choose({"steps": True, "window": False}, config["agent_pairs"], field="similarity.agent_pairs")
    if regularize is None:
        return None

    def apply(
        rewards: jax.Array, agent_logits: jax.Array, expert_logits: jax.Array, scale: jax.Array
    ) -> tuple[jax.Array, jax.Array, Metrics]:
        log_agent = log_share(log_scores(jnp.reshape(agent_logits, (-1, *agent_logits.shape[2:]))))
        similarity = similarity_to(log_agent, expert_logits, log_scores, axis_name=DEVICE_AXIS)
        similarity = jnp.reshape(similarity, agent_logits.shape[:2])
        mean = jax.lax.pmean(jnp.mean(similarity), DEVICE_AXIS)
        scale = jnp.where(scale == 0, config["scale_initial"] / mean, scale)
        metrics = {"reward/similarity": mean, "reward/similarity_scale": scale}
        return regularize(rewards, similarity, scale=scale), scale, metrics

    return Regularizer(every_step, whole, apply)
