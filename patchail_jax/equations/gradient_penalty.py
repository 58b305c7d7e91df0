"""Gradient penalty of the discriminator (Gulrajani et al. 2017, in the form of the published program).

For interpolated inputs ``x = a * expert + (1 - a) * agent``, one ``a ~ U[0,1]`` a sample::

    penalty = weight / M * mean_b (|| grad_x sum_m logit_m(x_b) ||_2 - 1)^2          M patches

Two departures from the textbook, both the published program's: the gradient is taken with respect to pixels on the
0..255 scale, so a norm of 1 is a steep discriminator, and the penalty is divided by the number of patches
``M = P * P``. ``pixel_scale`` makes the first one a choice: the gradient is with respect to ``x / 255 * pixel_scale``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Real

from patchail_jax.arrays import Parameters, Scalar

NOT_PIXELS = (
    255.0  # the pixel_scale of inputs on a scale of their own: the gradient is with respect to them as they are
)


def interpolate(
    mix: Float[Array, "B"], expert: Real[Array, "B *input"], agent: Real[Array, "B *input"]
) -> Float[Array, "B *input"]:
    """``a * expert + (1 - a) * agent``: mix ``[B]`` in [0, 1], pixels ``[B,...]`` of any type; float32 out."""
    mix = jnp.reshape(mix, mix.shape + (1,) * (expert.ndim - 1))
    return mix * expert.astype(jnp.float32) + (1.0 - mix) * agent.astype(jnp.float32)


def _norms(gradient: Float[Array, "B *input"]) -> Float[Array, "B"]:
    flat = jnp.reshape(gradient, (gradient.shape[0], -1))
    return jnp.sqrt(jnp.sum(jnp.square(flat), axis=-1) + 1e-12)


def gradient_penalty(
    logits: Callable[[Parameters, Float[Array, "B *input"]], Float[Array, "B *patches"]],
    params: Parameters,
    x: Float[Array, "B *input"],
    *,
    weight: float,
    pixel_scale: float = 255.0,
) -> tuple[Scalar, Scalar]:
    """The penalty and the mean gradient norm, differentiable in ``params``. Gradients in ``x`` are not defined.

    Value and gradient are those of the formula above, which needs a second derivative; this form is several times
    faster, because it needs none.
    With g the input gradient and n its norms, d penalty / d params = d/d params <g(params), v> with
    ``v = weight / M * 2 (n - 1) / (B n) * g`` held constant, and <g, v> is the directional derivative of
    ``sum logit`` along v: one forward-mode pass, whose reverse pass needs ordinary convolutions only.
    ``logits(params, x)``; exact for every network.
    """
    frozen = jax.lax.stop_gradient(params)
    total, pull_back = jax.vjp(lambda x: logits(frozen, x), x)
    (gradient,) = pull_back(jnp.ones_like(total))
    scale = 255.0 / pixel_scale
    norms = _norms(gradient) * scale
    samples, patches = x.shape[0], total.size // x.shape[0]
    penalty = weight / patches * jnp.mean(jnp.square(norms - 1.0))
    slope = 2.0 * weight / (patches * samples) * (norms - 1.0) / norms * scale**2
    direction = gradient * jnp.reshape(slope, (samples,) + (1,) * (x.ndim - 1))
    _, along = jax.jvp(lambda x: jnp.sum(logits(params, x)), (x,), (direction,))
    return jax.lax.stop_gradient(penalty) + along - jax.lax.stop_gradient(along), jnp.mean(norms)
