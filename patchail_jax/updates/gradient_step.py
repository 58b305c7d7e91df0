"""One optimizer step; the only place where gradients are averaged over devices."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import jax
import optax

from patchail_jax.arrays import Parameters, Scalar
from patchail_jax.errors import UserError, choose

DEVICE_AXIS = "devices"

Aux = TypeVar("Aux")

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {"adam": optax.adam, "sgd": optax.sgd}


def make_optimizer(
    name: str, learning_rate: float, decay: Mapping[str, int | float], *, group: str
) -> optax.GradientTransformation:
    """The optimizer ``name``, one of ``OPTIMIZERS``.

    From its step ``decay["start"]`` on, ``learning_rate`` falls in a straight line, over ``decay["updates"]`` steps, to
    ``decay["final"]`` of itself; 0 steps are never. ``UserError`` names what does not fit in ``config.<group>``.
    """
    make = choose(OPTIMIZERS, name, field=f"{group}.optimizer")
    start, updates, final = int(decay["start"]), int(decay["updates"]), decay["final"]
    if min(start, updates, final) < 0:
        raise UserError(f"config.{group}.decay has a negative number: start {start}, updates {updates}, final {final}")
    if not updates:
        return make(learning_rate)
    return make(optax.schedules.linear_schedule(learning_rate, final * learning_rate, updates, transition_begin=start))


def gradient_step(
    loss: Callable[[Parameters], tuple[Scalar, Aux]],
    params: Parameters,
    optimizer_state: optax.OptState,
    optimizer: optax.GradientTransformation,
) -> tuple[Parameters, optax.OptState, Aux, Scalar]:
    """Descends ``loss(params) -> (value, aux)`` once.

    Must run under an axis named ``DEVICE_AXIS``. Returns new params, new optimizer state, aux, and the global norm of
    the averaged gradient (a scalar).
    """
    gradients, aux = jax.grad(loss, has_aux=True)(params)
    gradients = jax.lax.pmean(gradients, DEVICE_AXIS)
    steps, optimizer_state = optimizer.update(gradients, optimizer_state, params)
    return optax.apply_updates(params, steps), optimizer_state, aux, optax.global_norm(gradients)
