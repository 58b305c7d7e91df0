"""Behaviour cloning: encoder and actor by maximum likelihood of the expert's actions."""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Real

from patchail_jax.arrays import Parameters, Scalar, Scalars
from patchail_jax.equations.behaviour_cloning import log_likelihood
from patchail_jax.updates.gradient_step import gradient_step


def cloning_update(
    params: Parameters,
    optimizer_state: optax.OptState,
    optimizer: optax.GradientTransformation,
    *,
    act: Callable[[Parameters, Real[Array, "E *observation"]], Float[Array, "E A"]],
    observations: Real[Array, "E *observation"],
    actions: Float[Array, "E A"],
    std: float,
) -> tuple[Parameters, optax.OptState, Scalars]:
    """One step on the expert's ``actions [E,A]`` at ``observations [E,H,W,3S]``, augmented pixels.

    ``act(params, observations)`` gives the mean ``[E,A]``; ``std`` is the policy's, fixed.
    """

    def loss(params: Parameters) -> tuple[Scalar, tuple[Scalar, Scalar]]:
        mean = act(params, observations)
        likelihood = jnp.mean(log_likelihood(mean, actions, std=std))
        return -likelihood, (likelihood, jnp.mean(jnp.abs(mean - actions)))

    params, optimizer_state, (likelihood, error), norm = gradient_step(loss, params, optimizer_state, optimizer)
    metrics = {
        "cloning/log_likelihood": likelihood,
        "cloning/action_error": error,
        "cloning/gradient_norm": norm,
    }
    return params, optimizer_state, metrics
