"""Discriminator classification loss (paper, Eq. 4)."""

from typing import Any

import jax
import jax.numpy as jnp


def adversarial_loss(expert_logits_expert_is_high: Any, agent_logits_expert_is_high: Any) -> Any:
    """``-E_expert[log D] - E_agent[log(1 - D)]`` with D = sigmoid(logit), the mean over samples and patches.

    Logits ``[E,...]`` and ``[B,...]``; in logits the two terms are softplus(-logit) and softplus(logit).
    """
    expert = jnp.mean(jax.nn.softplus(-expert_logits_expert_is_high))
    agent = jnp.mean(jax.nn.softplus(agent_logits_expert_is_high))
    return expert + agent
