"""One optimizer step; the only place where gradients are averaged over devices."""

from collections.abc import Callable
from typing import Any

import jax
import optax

DEVICE_AXIS = "devices"

OPTIMIZERS: dict[str, Callable[[float], optax.GradientTransformation]] = {"adam": optax.adam, "sgd": optax.sgd}


def gradient_step(
    loss: Callable[[Any], tuple[Any, Any]], params: Any, optimizer_state: Any, optimizer: optax.GradientTransformation
) -> tuple[Any, Any, Any, Any]:
    """Descends ``loss(params) -> (value, aux)`` once.

    Must run under an axis named ``DEVICE_AXIS``. Returns new params, new optimizer state, aux, and the global norm of
    the averaged gradient (a scalar).
    """
    gradients, aux = jax.grad(loss, has_aux=True)(params)
    gradients = jax.lax.pmean(gradients, DEVICE_AXIS)
    steps, optimizer_state = optimizer.update(gradients, optimizer_state, params)
    return optax.apply_updates(params, steps), optimizer_state, aux, optax.global_norm(gradients)
