"""Visual imitation learning with patch rewards (PatchAIL) in JAX.

``train``, ``load_run`` and ``make_update`` are the package as a library; ``patchail_jax.api`` explains them.
"""

import importlib
import os
from importlib.util import find_spec
from typing import Any

__version__ = "0.1.0"
__all__ = ["load_run", "make_update", "train"]

_FLAG = "--xla_cpu_experimental_ynn_fusion_type"


def compile_convolutions_with_eigen() -> None:
    """On machines without accelerators, tells XLA's CPU compiler to leave convolutions to Eigen; dots stay YNNPACK's.

    By default XLA's CPU compiler (jax 0.10 to 0.12) hands the weight gradients of convolutions to YNNPACK, which takes
    up to 14 times as long as Eigen for them. XLA reads its flags when the first device is asked for. What the user says
    about the flag in ``XLA_FLAGS`` stays as it is, and so does everything where JAX may find an accelerator.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    accelerator = os.environ.get("JAX_PLATFORMS") != "cpu" and any(map(find_spec, ("jax_plugins", "libtpu")))
    if _FLAG not in flags and not accelerator:
        os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}=LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT".strip()


def __getattr__(name: str) -> Any:
    """The library's names, imported when they are asked for: processes that step environments never import jax."""
    if name in __all__:
        return getattr(importlib.import_module("patchail_jax.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


compile_convolutions_with_eigen()
