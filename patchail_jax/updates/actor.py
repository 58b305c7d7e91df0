"""Actor update on detached features (DrQ-v2)."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from patchail_jax.equations.policy import noisy_action, policy_loss
from patchail_jax.updates.gradient_step import gradient_step


def actor_update(
    params: Any,
    optimizer_state: Any,
    optimizer: optax.GradientTransformation,
    *,
    act: Callable[[Any, Any], Any],
    value: Callable[[Any, Any], Any],
    features: Any,
    noise: Any,
    std: Any,
    noise_clip: float,
) -> tuple[Any, Any, dict[str, Any]]:
    """Ascends ``min(Q1, Q2)`` of the policy's noisy action.

    ``act(params, features)`` gives the mean ``[B,A]``, ``value(features, actions)`` the fixed critic's ``[2,B]``;
    ``features [B,F]`` detached, ``noise [B,A]`` standard normal.
    """

    def loss(params: Any) -> tuple[Any, Any]:
        mean = act(params, features)
        actions = noisy_action(mean, noise, std=std, clip=noise_clip)
        error = policy_loss(value(features, actions))
        return error, (error, mean)

    params, optimizer_state, (error, mean), norm = gradient_step(loss, params, optimizer_state, optimizer)
    metrics = {
        "actor/loss": error,
        "actor/mean_magnitude": jnp.mean(jnp.abs(mean)),
        "actor/std": jnp.asarray(std, jnp.float32),
        "actor/gradient_norm": norm,
    }
    return params, optimizer_state, metrics
