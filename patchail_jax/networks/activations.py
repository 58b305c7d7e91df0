"""A look inside a convolution stack while it computes: its activations, and its output as a function of them."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from patchail_jax.networks.encoder import Encoder
from patchail_jax.networks.geometry import encoder_layers

_CONVOLUTION = "convolution_"


def inspect(
    apply: Callable[[Any, Any], Any], params: Any, pixels: Any, offsets: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """``apply(params, pixels)``, and the activations ``{layer: [B,h,w,c]}`` it came from, in the order of the layers.

    An activation is what the next convolution reads, non-linearity included, or what an ``Encoder`` gives; layers are
    named ``convolution_0`` and so on, with ``/1`` added where a network is applied a second time. ``offsets`` are added
    to activations of the same names: the gradient at offsets of zero is that with respect to the activations.
    """
    seen: dict[str, Any] = {}

    def note(layer: str, activation: Any) -> Any:
        times = sum(name.partition("/")[0] == layer for name in seen)
        name = f"{layer}/{times}" if times else layer
        if name in offsets:
            activation = activation + offsets[name].astype(activation.dtype)
        seen[name] = activation.astype(jnp.float32)
        return activation

    def intercept(call: Any, arguments: Any, keywords: Any, context: Any) -> Any:
        module, name = context.module, context.module.name or ""
        if context.method_name != "__call__":
            return call(*arguments, **keywords)
        if isinstance(module, Encoder):
            flat = call(*arguments, **keywords)
            side = round((flat.shape[-1] / module.channels) ** 0.5)
            activation = jnp.reshape(flat, (-1, side, side, module.channels))
            return jnp.reshape(note(f"{_CONVOLUTION}{len(encoder_layers()) - 1}", activation), flat.shape)
        if name.startswith(_CONVOLUTION) and name != f"{_CONVOLUTION}0":
            before = int(name.removeprefix(_CONVOLUTION)) - 1
            activation, *rest = arguments
            arguments = (note(f"{_CONVOLUTION}{before}", activation), *rest)
        return call(*arguments, **keywords)

    with nn.intercept_methods(intercept):
        output = apply(params, pixels)
    return output, seen
