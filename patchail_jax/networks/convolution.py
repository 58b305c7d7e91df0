"""One convolution layer in three exact forms: as it is written, and two that GPUs run several times faster.

Tensor cores want many channels on both sides. The first layer of a stack reads few (9 or 18), the discriminator's last
one writes one; both are rearranged into larger matrix products that give the same numbers.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from patchail_jax.networks.geometry import Layer, output_size
from patchail_jax.networks.layers import Network, orthogonal

INIT = orthogonal(2.0**0.5)

Form = Callable[[Float[Array, "B H W C"], Float[Array, "k k C F"], Layer], Float[Array, "B P P F"]]


def plain(x: Float[Array, "B H W C"], kernel: Float[Array, "k k C F"], layer: Layer) -> Float[Array, "B P P F"]:
    """``x [B,H,W,C]`` and ``kernel [k,k,C,F]`` to ``[B,P,P,F]``: the reference for the other two."""
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (layer.stride, layer.stride),
        [(layer.padding, layer.padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def space_to_depth(
    x: Float[Array, "B H H C"], kernel: Float[Array, "k k C F"], layer: Layer
) -> Float[Array, "B P P F"]:
    """A stride-s convolution as one of stride 1 on s x s times the channels: the same sums in another order.

    Square images; a kernel that is no multiple of the stride is filled up with zeros.
    """
    stride, channels, filters = layer.stride, x.shape[-1], kernel.shape[-1]
    filled = -(-layer.kernel // stride) * stride
    out = output_size(x.shape[1], (layer,))
    length = (out - 1) * stride + filled  # of the padded image that is read at all
    edges = (layer.padding, length - layer.padding - x.shape[1], 0)
    x = jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), edges, edges, (0, 0, 0)))
    blocks = length // stride
    x = jnp.reshape(x, (-1, blocks, stride, blocks, stride, channels))
    x = jnp.reshape(jnp.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, blocks, blocks, stride * stride * channels))
    wide = filled // stride
    kernel = jnp.pad(kernel, ((0, filled - layer.kernel),) * 2 + ((0, 0),) * 2)
    kernel = jnp.reshape(kernel, (wide, stride, wide, stride, channels, filters))
    kernel = jnp.reshape(jnp.transpose(kernel, (0, 2, 1, 3, 4, 5)), (wide, wide, stride * stride * channels, filters))
    return plain(x, kernel, Layer(wide, 1, 0))


def one_channel(x: Float[Array, "B H H C"], kernel: Float[Array, "k k C 1"], layer: Layer) -> Float[Array, "B P P 1"]:
    """A stride-1 convolution to one channel: each pixel's products with all k x k taps, then k x k shifted sums."""
    size, out = layer.kernel, output_size(x.shape[1], (layer,))
    taps = jnp.einsum("bhwc,ct->bhwt", x, jnp.reshape(jnp.transpose(kernel[..., 0], (2, 0, 1)), (-1, size * size)))
    edge = (layer.padding, layer.padding)
    taps = jnp.pad(taps, ((0, 0), edge, edge, (0, 0)))
    shifted = [
        taps[:, row : row + out, column : column + out, row * size + column]
        for row in range(size)
        for column in range(size)
    ]
    return functools.reduce(jnp.add, shifted)[..., None]


FORMS: dict[str, Form] = {
    "plain": plain,
    "space_to_depth": space_to_depth,
    "one_channel": one_channel,
}


def form_for(layer: Layer, channels: int) -> str:
    """The fastest form of a layer of the patch discriminator on GPUs, as measured on an H100."""
    if layer.stride > 1:
        return "space_to_depth"
    return "one_channel" if channels == 1 else "plain"


def _computed(
    form: str, x: Float[Array, "B H W C"], kernel: Float[Array, "k k C F"], layer: Layer
) -> Float[Array, "B P P F"]:
    if form == "plain":
        return plain(x, kernel, layer)
    as_written = functools.partial(plain, layer=layer)
    # By its own estimate XLA's TPU compiler makes 38 million cycles of the paper's update on a v5e in the plain form,
    # and 52 million in these: space-to-depth moves half as many bytes again.
    found: Array = jax.lax.platform_dependent(
        x, kernel, cpu=as_written, tpu=as_written, default=lambda x, kernel: FORMS[form](x, kernel, layer)
    )
    return found


class Convolution(Network):
    """A square convolution ``[B,H,W,C]`` to ``[B,P,P,channels]``, orthogonal weights with gain sqrt(2), zero biases.

    ``form`` is how GPUs compute it; CPUs and TPUs are faster with the plain one. The platform is that for which the
    program is lowered. Parameters and values are those of ``flax.linen.Conv`` in every form.
    """

    channels: int
    layer: Layer
    dtype: DTypeLike
    form: str = "plain"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B P P {self.channels}"]:
        shape = (self.layer.kernel, self.layer.kernel, x.shape[-1], self.channels)
        kernel = self.param("kernel", INIT, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.channels,), jnp.float32)
        y = _computed(self.form, x.astype(self.dtype), kernel.astype(self.dtype), self.layer)
        # In float32, or the bias' gradient, a sum over all places of all images, is accumulated in bfloat16: it stands
        # still once it is 256 times its terms.
        return (y.astype(jnp.float32) + jnp.reshape(bias, (1, 1, 1, -1))).astype(self.dtype)
