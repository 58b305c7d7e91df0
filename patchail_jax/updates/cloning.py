"""Behaviour cloning: encoder and actor by maximum likelihood of the expert's actions."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from patchail_jax.equations.behaviour_cloning import log_likelihood
from patchail_jax.updates.gradient_step import gradient_step


def cloning_update(
    params: Any,
    optimizer_state: Any,
    optimizer: optax.GradientTransformation,
    *,
    act: Callable[[Any, Any], Any],
    observations: Any,
    actions: Any,
    std: float,
) -> tuple[Any, Any, dict[str, Any]]:
    """One step on the expert's ``actions [E,A]`` at ``observations [E,H,W,3S]``, augmented pixels.

    ``act(params, observations)`` gives the mean ``[E,A]``; ``std`` is the policy's, fixed.
    """

    def loss(params: Any) -> tuple[Any, Any]:
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
