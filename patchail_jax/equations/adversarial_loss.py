"""Discriminator classification loss (paper, Eq. 4)."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from patchail_jax.arrays import Scalar


def adversarial_loss(
    expert_logits_expert_is_high: Float[Array, "E *patches"], agent_logits_expert_is_high: Float[Array, "B *patches"]
) -> Scalar:
    """``-E_expert[log D] - E_agent[log(1 - D)]`` with D = sigmoid(logit), the mean over samples and patches.

    Logits ``[E,...]`` and ``[B,...]``; in logits the two terms are softplus(-logit) and softplus(logit).
    """
    expert = jnp.mean(jax.nn.softplus(-expert_logits_expert_is_high))
    agent = jnp.mean(jax.nn.softplus(agent_logits_expert_is_high))
    return expert + agent
