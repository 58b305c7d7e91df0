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
from patchail_jax.equations.policy import noisy_action, policy_loss, preactivation_penalty
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
    preactivation: Callable[[Parameters, Float[Array, "B F"]], Float[Array, "B A"]],
    value: Callable[[Float[Array, "B F"], Float[Array, "B A"]], Float[Array, "2 B"]],
    features: Float[Array, "B F"],
    noise: Float[Array, "B A"],
    std: Scalar,
    noise_clip: float,
    penalty: float = 0.0,
    cloning: Cloning | None = None,
) -> tuple[Parameters, optax.OptState, Scalars]:
    """Ascends ``min(Q1, Q2)`` of the policy's noisy action, and the expert's likelihood where there is ``cloning``.

    ``preactivation(params, features)`` gives what the mean action is the tanh of, ``[B,A]``, whose square costs
    ``penalty``; ``value(features, actions)`` the fixed critic's ``[2,B]``; ``features [B,F]`` detached, ``noise [B,A]``
    standard normal.
    """

    def loss(params: Parameters) -> tuple[Scalar, tuple[Scalar, Float[Array, "B A"], Scalars]]:
        inner = preactivation(params, features)
        mean = jnp.tanh(inner)
        actions = noisy_action(mean, noise, std=std, clip=noise_clip)
        values = value(features, actions)
        error, extra = policy_loss(values), {}
        if cloning is not None:
            weight = jax.lax.stop_gradient(cloning.weight(values))
            theirs = jnp.tanh(preactivation(params, cloning.features))
            likelihood = log_likelihood(theirs, cloning.actions, std=cloning.std)
            error = cloned_policy_loss(values, likelihood, weight=weight, scale=cloning.scale)
            extra = {"cloning/weight": weight, "cloning/log_likelihood": jnp.mean(likelihood)}
        if penalty:
            error += penalty * preactivation_penalty(inner)
        return error, (error, mean, extra)

    params, optimizer_state, (error, mean, extra), norm = gradient_step(loss, params, optimizer_state, optimizer)
    metrics = {
        "actor/loss": error,
        "actor/mean_magnitude": jnp.mean(jnp.abs(mean)),
        "actor/std": jnp.asarray(std, jnp.float32),
        "actor/gradient_norm": norm,
        **extra,
    }
    return params, optimizer_state, metrics
