"""Soft update of the target critic."""

import jax

from patchail_jax.arrays import Parameters


def soft_update(target: Parameters, source: Parameters, *, rate: float) -> Parameters:
    """``(1 - rate) * target + rate * source``, leaf by leaf."""
    return jax.tree.map(lambda old, new: (1.0 - rate) * old + rate * new, target, source)
