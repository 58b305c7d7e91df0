"""Critic and encoder update (DrQ-v2)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float, Real

from patchail_jax.arrays import Parameters, Scalar, Scalars
from patchail_jax.updates.gradient_step import gradient_step


def critic_update(
    params: Parameters,
    optimizer_state: optax.OptState,
    optimizer: optax.GradientTransformation,
    *,
    encode: Callable[[Parameters, Real[Array, "B *observation"]], Float[Array, "B F"]],
    value: Callable[[Parameters, Float[Array, "B F"], Float[Array, "B A"]], Float[Array, "2 B"]],
    observations: Real[Array, "B *observation"],
    actions: Float[Array, "B A"],
    targets: Float[Array, "B"],
) -> tuple[Parameters, optax.OptState, Float[Array, "B F"], Scalars]:
    """Regresses both heads on ``targets [B]``.

    ``params`` is ``{"encoder": ..., "critic": ...}``, ``observations [B,H,W,3S]`` augmented pixels, ``actions [B,A]``.
    Also returns the features ``[B,F]`` from before the step, detached: the actor learns on them.
    """
    targets = jax.lax.stop_gradient(targets)

    def loss(params: Parameters) -> tuple[Scalar, tuple[Float[Array, "B F"], Float[Array, "2 B"], Scalar]]:
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
