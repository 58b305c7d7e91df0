"""The patch reward with its similarity regulariser (paper, Eq. 9 and 10)."""

from typing import Protocol

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from patchail_jax.arrays import Scalar


class RegularizedReward(Protocol):
    """How a similarity changes rewards; ``weighted`` and ``with_bonus``."""

    def __call__(
        self, rewards: Float[Array, "B n"], similarity: Float[Array, "B #n"], *, scale: Scalar | float
    ) -> Float[Array, "B n"]:
        """Rewards ``[B,n]`` of rewards ``[B,n]`` and a similarity ``[B,n]`` or ``[B,1]``."""


def weighted(
    rewards: Float[Array, "B n"], similarity: Float[Array, "B #n"], *, scale: Scalar | float
) -> Float[Array, "B n"]:
    """PatchAIL-W, Eq. 9: ``lambda * Sim * r``; rewards ``[B,n]``, similarity ``[B,n]`` or ``[B,1]`` of the window."""
    return scale * similarity * rewards


def with_bonus(
    rewards: Float[Array, "B n"], similarity: Float[Array, "B #n"], *, scale: Scalar | float
) -> Float[Array, "B n"]:
    """PatchAIL-B, Eq. 10: ``lambda * Sim + r``. A window's similarity ``[B,1]`` counts once, at its first step."""
    steps = rewards.shape[1] - similarity.shape[1]
    return rewards + scale * jnp.pad(similarity, ((0, 0), (0, steps)))


REGULARIZERS: dict[str, RegularizedReward] = {"weight": weighted, "bonus": with_bonus}
