"""Discriminator update: classification (Eq. 4) plus gradient penalty."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax

from patchail_jax.equations.adversarial_loss import adversarial_loss
from patchail_jax.equations.gradient_penalty import fast_gradient_penalty, interpolate
from patchail_jax.updates.gradient_step import gradient_step


def discriminator_update(
    params: Any,
    optimizer_state: Any,
    optimizer: optax.GradientTransformation,
    *,
    logits: Callable[[Any, Any], Any],
    expert: Any,
    agent: Any,
    mix: Any,
    penalty_weight: float,
    penalty_pixel_scale: float,
    represent: Callable[[Any, Any], Any] = lambda params, inputs: inputs,
) -> tuple[Any, Any, dict[str, Any]]:
    """One step on expert (label 1) and agent (label 0) inputs ``[E,H,W,C]``, augmented pixels in 0..255.

    ``logits(params, inputs)`` is high for the expert, ``[E,P,P]``; ``mix [E]`` in [0, 1] places the penalty's inputs.
    Where ``represent(params, inputs)`` gives features, logits and penalty are theirs: the classification trains both,
    the penalty the logits alone.
    """
    chex.assert_equal_shape([expert, agent])
    both = jnp.concatenate([expert, agent])

    def loss(params: Any) -> tuple[Any, Any]:
        features = represent(params, both)
        between = interpolate(mix, *jnp.split(jax.lax.stop_gradient(features), 2))
        expert_logits, agent_logits = jnp.split(logits(params, features), 2)
        classification = adversarial_loss(expert_logits, agent_logits)
        penalty, input_norm = fast_gradient_penalty(
            logits, params, between, weight=penalty_weight, pixel_scale=penalty_pixel_scale
        )
        return classification + penalty, (expert_logits, agent_logits, classification, penalty, input_norm)

    params, optimizer_state, aux, norm = gradient_step(loss, params, optimizer_state, optimizer)
    expert_logits, agent_logits, classification, penalty, input_norm = aux
    metrics = {
        "discriminator/classification": classification,
        "discriminator/penalty": penalty,
        "discriminator/expert_logit": jnp.mean(expert_logits),
        "discriminator/agent_logit": jnp.mean(agent_logits),
        "discriminator/accuracy": 0.5 * (jnp.mean(expert_logits > 0) + jnp.mean(agent_logits < 0)),
        "discriminator/input_gradient_norm": input_norm,
        "discriminator/gradient_norm": norm,
    }
    return params, optimizer_state, metrics
