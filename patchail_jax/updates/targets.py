"""Soft update of the target critic."""

from typing import Any

import jax


def soft_update(target: Any, source: Any, *, rate: float) -> Any:
    """``(1 - rate) * target + rate * source``, leaf by leaf."""
    return jax.tree.map(lambda old, new: (1.0 - rate) * old + rate * new, target, source)
