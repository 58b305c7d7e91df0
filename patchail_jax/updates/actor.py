"""Actor update on detached features (DrQ-v2)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Float

from patchail_jax.arrays import Parameters, Scalar, Scalars
from patchail_jax.equations.behaviour_cloning import cloned_policy_loss, log_likelihood
from patchail_jax.equations.policy import noisy_action, policy_loss
from patchail_jax.updates.gradient_step import gradient_step


class Cloning(NamedTuple):
    """The behaviour-cloning term of the actor's loss (paper, Appendix B.3).

    The expert's detached ``features [E,F]`` and ``actions [E,A]``; ``weight`` gives w ``[]`` from the values ``[2,B]``
    of the policy's own actions; ``std`` of the policy in the likelihood; ``scale`` of the likelihood.
    """

    features: Float[Array, "E F"]
    actions: Float[Array, "E A"]
    weight: Callable[[Float[Array, "2 B"]], Scalar]
    std: float
    scale: float


def actor_update(
    params: Parameters,
    optimizer_state: optax.OptState,
    optimizer: optax.GradientTransformation,
    *,
    act: Callable[[Parameters, Float[Array, "B F"]], Float[Array, "B A"]],
    value: Callable[[Float[Array, "B F"], Float[Array, "B A"]], Float[Array, "2 B"]],
    features: Float[Array, "B F"],
    noise: Float[Array, "B A"],
    std: Scalar,
    noise_clip: float,
    cloning: Cloning | None = None,
) -> tuple[Parameters, optax.OptState, Scalars]:
    """Ascends ``min(Q1, Q2)`` of the policy's noisy action, and the expert's likelihood where there is ``cloning``.

    ``act(params, features)`` gives the mean ``[B,A]``, ``value(features, actions)`` the fixed critic's ``[2,B]``;
    ``features [B,F]`` detached, ``noise [B,A]`` standard normal.
    """

    def loss(params: Parameters) -> tuple[Scalar, tuple[Scalar, Float[Array, "B A"], Scalars]]:
        mean = act(params, features)
        actions = noisy_action(mean, noise, std=std, clip=noise_clip)
        values = value(features, actions)
        if cloning is None:
            error = policy_loss(values)
            return error, (error, mean, {})
        weight = jax.lax.stop_gradient(cloning.weight(values))
        likelihood = log_likelihood(act(params, cloning.features), cloning.actions, std=cloning.std)
        error = cloned_policy_loss(values, likelihood, weight=weight, scale=cloning.scale)
        return error, (error, mean, {"cloning/weight": weight, "cloning/log_likelihood": jnp.mean(likelihood)})

    params, optimizer_state, (error, mean, extra), norm = gradient_step(loss, params, optimizer_state, optimizer)
    metrics = {
        "actor/loss": error,
        "actor/mean_magnitude": jnp.mean(jnp.abs(mean)),
        "actor/std": jnp.asarray(std, jnp.float32),
        "actor/gradient_norm": norm,
        **extra,
    }
    return params, optimizer_state, metrics
