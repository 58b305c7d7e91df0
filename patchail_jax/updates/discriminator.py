"""Discriminator update: classification (Eq. 4) plus gradient penalty."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Real

from patchail_jax.arrays import Parameters, Scalar, Scalars
from patchail_jax.equations.adversarial_loss import adversarial_loss
from patchail_jax.equations.gradient_penalty import interpolate
from patchail_jax.updates.gradient_step import gradient_step

Logits = Callable[[Parameters, Real[Array, "B *features"]], Float[Array, "B *patches"]]
# penalty(logits, params, x [E,...]) -> (penalty, mean norm): ``gradient_penalty`` with its numbers.
Penalty = Callable[[Logits, Parameters, Float[Array, "E *features"]], tuple[Scalar, Scalar]]


def discriminator_update(
    params: Parameters,
    optimizer_state: optax.OptState,
    optimizer: optax.GradientTransformation,
    *,
    logits: Logits,
    expert: Real[Array, "E *input"],
    agent: Real[Array, "E *input"],
    mix: Float[Array, "E"],
    penalty: Penalty,
    represent: Callable[[Parameters, Real[Array, "B *input"]], Real[Array, "B *features"]] = lambda params, inputs: (
        inputs
    ),
) -> tuple[Parameters, optax.OptState, Scalars]:
    """One step on expert (label 1) and agent (label 0) inputs ``[E,H,W,C]``, augmented pixels in 0..255.

    ``logits(params, inputs)`` is high for the expert, ``[E,P,P]``; ``mix [E]`` in [0, 1] places the penalty's inputs.
    Where ``represent(params, inputs)`` gives features, logits and penalty are theirs: the classification trains both,
    the penalty the logits alone.
    """
    chex.assert_equal_shape([expert, agent])
    both = jnp.concatenate([expert, agent])

    def loss(
        params: Parameters,
    ) -> tuple[Scalar, tuple[Float[Array, "E *patches"], Float[Array, "E *patches"], Scalar, Scalar, Scalar]]:
        features = represent(params, both)
        between = interpolate(mix, *jnp.split(jax.lax.stop_gradient(features), 2))
        expert_logits, agent_logits = jnp.split(logits(params, features), 2)
        classification = adversarial_loss(expert_logits, agent_logits)
        found, input_norm = penalty(logits, params, between)
        return classification + found, (expert_logits, agent_logits, classification, found, input_norm)

    params, optimizer_state, aux, norm = gradient_step(loss, params, optimizer_state, optimizer)
    expert_logits, agent_logits, classification, found, input_norm = aux
    metrics = {
        "discriminator/classification": classification,
        "discriminator/penalty": found,
        "discriminator/expert_logit": jnp.mean(expert_logits),
        "discriminator/agent_logit": jnp.mean(agent_logits),
        "discriminator/accuracy": 0.5 * (jnp.mean(expert_logits > 0) + jnp.mean(agent_logits < 0)),
        "discriminator/input_gradient_norm": input_norm,
        "discriminator/gradient_norm": norm,
    }
    return params, optimizer_state, metrics
