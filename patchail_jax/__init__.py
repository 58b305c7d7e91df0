"""Visual imitation learning with patch rewards (PatchAIL) in JAX.

``train``, ``load_run`` and ``make_update`` are the package as a library; ``patchail_jax.api`` explains them.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["load_run", "make_update", "train"]


def __getattr__(name: str) -> Any:
    """The library's names, imported when they are asked for: processes that step environments never import jax."""
    if name in __all__:
        return getattr(importlib.import_module("patchail_jax.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
