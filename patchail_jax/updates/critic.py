"""Critic and encoder update (DrQ-v2)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from patchail_jax.updates.gradient_step import gradient_step


def critic_update(
    params: Any,
    optimizer_state: Any,
    optimizer: optax.GradientTransformation,
    *,
    encode: Callable[[Any, Any], Any],
    value: Callable[[Any, Any, Any], Any],
    observations: Any,
    actions: Any,
    targets: Any,
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Regresses both heads on ``targets [B]``.

    ``params`` is ``{"encoder": ..., "critic": ...}``, ``observations [B,H,W,3S]`` augmented pixels, ``actions [B,A]``.
    Also returns the features ``[B,F]`` from before the step, detached: the actor learns on them.
    """
    targets = jax.lax.stop_gradient(targets)

    def loss(params: Any) -> tuple[Any, Any]:
        features = encode(params["encoder"], observations)
        values = value(params["critic"], features, actions)
        error = jnp.mean(jnp.square(values[0] - targets)) + jnp.mean(jnp.square(values[1] - targets))
        return error, (features, values, error)

    params, optimizer_state, (features, values, error), norm = gradient_step(loss, params, optimizer_state, optimizer)
    metrics = {
        "critic/loss": error,
        "critic/value": jnp.mean(values),
        "critic/target": jnp.mean(targets),
        "critic/gradient_norm": norm,
    }
    return params, optimizer_state, jax.lax.stop_gradient(features), metrics
