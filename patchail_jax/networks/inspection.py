"""A look inside a convolution stack while it computes: its activations, and its output as a function of them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

CONVOLUTION = "convolution_"


def inspect(
    apply: Callable[[Any, Any], Any], params: Any, pixels: Any, offsets: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """``apply(params, pixels)``, and the activations ``{layer: [B,h,w,c]}`` it came from, in the order of the layers.

    An activation is what the next convolution reads, non-linearity included; the last convolution has none. ``offsets``
    are added to activations of the same names: the gradient of the output at offsets of zero is that with respect to
    the activations. ``apply`` runs modules named ``convolution_0``, ``convolution_1`` and so on.
    """
    seen: dict[str, Any] = {}

    def intercept(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
        name = context.module.name or ""
        number = name.removeprefix(CONVOLUTION)
        if context.method_name != "__call__" or not name.startswith(CONVOLUTION) or number == "0":
            return call(*arguments, **keywords)
        layer = f"{CONVOLUTION}{int(number) - 1}"
        activation, *rest = arguments
        if layer in offsets:
            activation = activation + offsets[layer].astype(activation.dtype)
        seen[layer] = activation.astype(jnp.float32)
        return call(activation, *rest, **keywords)

    with nn.intercept_methods(intercept):
        output = apply(params, pixels)
    return output, seen
