"""Schedules over agent steps."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from patchail_jax.arrays import Scalar


def linear(step: Int[Array, ""] | int, *, initial: float, final: float, duration: int) -> Scalar:
    """From ``initial`` at step 0 to ``final`` at ``duration`` agent steps, constant after it."""
    mix = jnp.clip(jnp.asarray(step, jnp.float32) / duration, 0.0, 1.0)
    return (1.0 - mix) * initial + mix * final
