"""Image augmentations, one draw a stack and the same for all its frames (DrQ-v2; paper, Appendix B.4)."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp


def random_shift(keys: Any, stacks: Any, *, pad: int) -> Any:
    """Shifts each stack by a whole number of pixels in ``-pad..pad`` on both axes, edges replicated.

    ``keys [B,2] uint32``, ``stacks [B,H,W,C]`` of any type; the same shape and type out. Equal to padding by ``pad``
    with replicated edges and cropping at a uniform offset in ``0..2 pad``.
    """
    chex.assert_rank([keys, stacks], [2, 4])

    def shift(key: Any, stack: Any) -> Any:
        offsets = jax.random.randint(key, (2,), -pad, pad + 1)
        rows = jnp.clip(jnp.arange(stack.shape[0]) + offsets[0], 0, stack.shape[0] - 1)
        columns = jnp.clip(jnp.arange(stack.shape[1]) + offsets[1], 0, stack.shape[1] - 1)
        return jnp.take(jnp.take(stack, rows, axis=0), columns, axis=1)

    return jax.vmap(shift)(keys, stacks)


def unchanged(keys: Any, stacks: Any, *, pad: int) -> Any:
    """The stacks as they are."""
    del keys, pad
    return stacks


AUGMENTATIONS: dict[str, Callable[..., Any]] = {"random_shift": random_shift, "none": unchanged}
