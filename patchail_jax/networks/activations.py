"""A look inside a convolution stack while it computes: its activations, and its output as a function of them."""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.linen.module import InterceptorContext
from jax import Array
from jaxtyping import Float

from patchail_jax.arrays import Images, Parameters
from patchail_jax.networks.encoder import Encoder
from patchail_jax.networks.geometry import encoder_layers

_CONVOLUTION = "convolution_"


def with_activations(
    apply: Callable[[Parameters, Images], Float[Array, "B *output"]],
    params: Parameters,
    pixels: Images,
    offsets: Mapping[str, Float[Array | np.ndarray, "B _h _w _c"]],
) -> tuple[Float[Array, "B *output"], dict[str, Float[Array, "B _h _w _c"]]]:
    """``apply(params, pixels)``, and the activations ``{layer: [B,h,w,c]}`` it came from, in the order of the layers.

    An activation is what the next convolution reads, non-linearity included, or what an ``Encoder`` gives; layers are
    named ``convolution_0`` and so on, with ``/1`` added where a network is applied a second time. ``offsets`` are added
    to activations of the same names: the gradient at offsets of zero is that with respect to the activations.
    """
    seen: dict[str, Float[Array, "B _h _w _c"]] = {}

    def note(layer: str, activation: Float[Array, "B h w c"]) -> Float[Array, "B h w c"]:
        times = sum(name.partition("/")[0] == layer for name in seen)
        name = f"{layer}/{times}" if times else layer
        if name in offsets:
            activation = activation + offsets[name].astype(activation.dtype)
        seen[name] = activation.astype(jnp.float32)
        return activation

    def intercept(
        call: Callable[..., Array | None],  # of a module's ``setup``: None
        arguments: tuple[Array, ...],
        keywords: dict[str, object],
        context: InterceptorContext,
    ) -> Array | None:
        module, name = context.module, context.module.name or ""
        if context.method_name != "__call__":
            return call(*arguments, **keywords)
        if isinstance(module, Encoder):
            flat = call(*arguments, **keywords)
            assert flat is not None
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
