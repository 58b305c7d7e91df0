"""Gradient penalty of the discriminator (Gulrajani et al. 2017, in the form of the published program).

For interpolated inputs ``x = a * expert + (1 - a) * agent``, one ``a ~ U[0,1]`` a sample::

    penalty = weight / M * mean_b (|| grad_x sum_m logit_m(x_b) ||_2 - 1)^2          M patches

Two departures from the textbook, both the published program's: the gradient is taken with respect to pixels on the
0..255 scale, so a norm of 1 is a steep discriminator, and the penalty is divided by the number of patches
``M = P * P``. ``pixel_scale`` makes the first one a choice: the gradient is with respect to ``x / 255 * pixel_scale``.

The published program has a third, an oversight: it cuts the gradient ``[B,C,H,W]`` of a batch into C runs of equal
length, takes one norm of each, over 128 / 18 = 7.1 samples in the paper's configuration, and divides by B. Equal norms
of samples are then drawn to ``sqrt(C / B)`` = 0.375 and not to 1, with a weight of ``10 C / B`` = 1.41 and not 10:
discriminators, and so rewards, are up to 2.7 times as steep here. ``by_channels`` is that form.

LAIfO (Giammarino et al. 2024) has the probability D = sigmoid(logit) in the place of the logit, ``PENALISED``: a logit
far from 0 is then as flat as one likes, however steep.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Real

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


def logit(logits: Float[Array, "*patches"]) -> Float[Array, "*patches"]:
    """The logit itself."""
    return logits


# What of a logit has a gradient near 1, by ``config.discriminator.penalty_of``.
PENALISED: dict[str, Callable[[Float[Array, "*patches"]], Float[Array, "*patches"]]] = {
    "logit": logit,
    "probability": jax.nn.sigmoid,
}

# norms(gradient [B,...,C], index [B]) -> (norms that broadcast to it, weight of their mean square)
Norms = Callable[[Float[Array, "B *input"], Int[Array, "B"]], tuple[Float[Array, "B *norms"], float]]


def by_samples(gradient: Float[Array, "B *input"], index: Int[Array, "B"]) -> tuple[Float[Array, "B *norms"], float]:
    """One norm a sample (Gulrajani et al.)."""
    del index
    flat = jnp.reshape(gradient, (gradient.shape[0], -1))
    return _over_input(_root(jnp.sum(jnp.square(flat), axis=-1))[:, None], gradient), 1.0


def by_channels(
    gradient: Float[Array, "B *input"], index: Int[Array, "B"], *, axis_name: str
) -> tuple[Float[Array, "B *norms"], float]:
    """The published program's C norms of a batch, each over B consecutive channels of its samples.

    ``index [B]`` are the samples' numbers in the batch of all devices; runs under ``axis_name``.
    """
    samples, channels = gradient.shape[0] * jax.lax.axis_size(axis_name), gradient.shape[-1]
    squares = jnp.sum(jnp.square(gradient), axis=tuple(range(1, gradient.ndim - 1)))
    group = (index[:, None] * channels + jnp.arange(channels)[None]) // samples
    sums = jax.lax.psum(jax.ops.segment_sum(jnp.ravel(squares), jnp.ravel(group), channels), axis_name)
    return _over_input(_root(sums)[group], gradient), channels / samples


def _root(squares: Float[Array, "*N"]) -> Float[Array, "*N"]:
    return jnp.sqrt(squares + 1e-12)


def _over_input(norms: Float[Array, "B C"], gradient: Float[Array, "B *input"]) -> Float[Array, "B *norms"]:
    return jnp.reshape(norms, (norms.shape[0], *(1,) * (gradient.ndim - 2), norms.shape[1]))


def gradient_penalty(
    logits: Callable[[Parameters, Float[Array, "B *input"]], Float[Array, "B *patches"]],
    params: Parameters,
    x: Float[Array, "B *input"],
    *,
    weight: float,
    pixel_scale: float = 255.0,
    norms_of: Norms = by_samples,
    of: Callable[[Float[Array, "B *patches"]], Float[Array, "B *patches"]] = logit,
    index: Int[Array, "B"] | None = None,
) -> tuple[Scalar, Scalar]:
    """The penalty and the mean gradient norm, differentiable in ``params``. Gradients in ``x`` are not defined.

    ``norms_of`` is ``by_samples``, or ``by_channels``, which needs the samples' numbers ``index [B]``; ``of`` is one of
    ``PENALISED``. The gradient is a device's; the mean over devices is the batch's.

    Value and gradient are those of the formula above, which needs a second derivative; this form is several times
    faster, because it needs none.
    With g the input gradient and n its norms, d penalty / d params = d/d params <g(params), v> with
    ``v = weight / M * 2 (n - 1) / (B n) * g`` held constant, and <g, v> is the directional derivative of
    ``sum of(logit)`` along v: one forward-mode pass, whose reverse pass needs ordinary convolutions only. This is
    exact for every network.
    """
    frozen = jax.lax.stop_gradient(params)
    total, pull_back = jax.vjp(lambda x: of(logits(frozen, x)), x)
    (gradient,) = pull_back(jnp.ones_like(total))
    scale = 255.0 / pixel_scale
    samples, patches = x.shape[0], total.size // x.shape[0]
    norms, share = norms_of(gradient, jnp.arange(samples) if index is None else index)
    norms = norms * scale
    penalty = share * weight / patches * jnp.mean(jnp.square(norms - 1.0))
    direction = gradient * (2.0 * weight / (patches * samples) * (norms - 1.0) / norms * scale**2)
    _, along = jax.jvp(lambda x: jnp.sum(of(logits(params, x))), (x,), (direction,))
    return jax.lax.stop_gradient(penalty) + along - jax.lax.stop_gradient(along), jnp.mean(norms)
