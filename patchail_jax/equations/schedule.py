"""Schedules over agent steps."""

from typing import Any

import jax.numpy as jnp


def linear(step: Any, *, initial: float, final: float, duration: int) -> Any:
    """From ``initial`` at step 0 to ``final`` at ``duration`` agent steps, constant after it."""
    mix = jnp.clip(jnp.asarray(step, jnp.float32) / duration, 0.0, 1.0)
    return (1.0 - mix) * initial + mix * final
