"""The patch reward with its similarity regulariser (paper, Eq. 9 and 10)."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp


def weighted(rewards: Any, similarity: Any, *, scale: Any) -> Any:
    """PatchAIL-W, Eq. 9: ``lambda * Sim * r``; rewards ``[B,n]``, similarity ``[B,n]`` or ``[B,1]`` of the window."""
    return scale * similarity * rewards


def with_bonus(rewards: Any, similarity: Any, *, scale: Any) -> Any:
    """PatchAIL-B, Eq. 10: ``lambda * Sim + r``. A window's similarity ``[B,1]`` counts once, at its first step."""
    steps = rewards.shape[1] - similarity.shape[1]
    return rewards + scale * jnp.pad(similarity, ((0, 0), (0, steps)))


REGULARIZERS: dict[str, Callable[..., Any]] = {"weight": weighted, "bonus": with_bonus}
