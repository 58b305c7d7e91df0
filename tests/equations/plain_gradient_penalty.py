"""The gradient penalty as its formula has it, differentiated twice: the reference for the product's faster form."""

import jax
import jax.numpy as jnp


def plain_gradient_penalty(logits, x, *, weight, pixel_scale=255.0):
    """``logits`` maps ``x [B,...] float32`` to ``[B,P,P]`` or ``[B]``; returns the penalty and the mean norm."""
    patches = logits(x).size // x.shape[0]
    gradient = jax.grad(lambda x: jnp.sum(logits(x)))(x)
    norms = jnp.sqrt(jnp.sum(jnp.square(jnp.reshape(gradient, (x.shape[0], -1))), axis=-1) + 1e-12)
    norms = norms * (255.0 / pixel_scale)
    return weight / patches * jnp.mean(jnp.square(norms - 1.0)), jnp.mean(norms)


def plain_penalty_by_channels(logits, x, *, weight, pixel_scale=255.0):
    """As the published program has it: the gradient ``[B,C,H,W]`` cut into C runs, and a norm of each."""
    gradient = jax.grad(lambda x: jnp.sum(logits(x)))(x) * 255.0 / pixel_scale
    runs = jnp.reshape(jnp.moveaxis(gradient, -1, 1), (x.shape[-1], -1))
    norms = jnp.sqrt(jnp.sum(jnp.square(runs), axis=1) + 1e-12)
    patches = logits(x)[0].size
    return weight / (len(x) * patches) * jnp.sum(jnp.square(norms - 1))
