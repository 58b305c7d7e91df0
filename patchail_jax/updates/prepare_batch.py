"""Frames to network inputs: stacks and windows, and random numbers keyed a sample at a time."""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Real

from patchail_jax.arrays import Key, Keys

Observation = Callable[[Real[Array, "B *place C"], Real[Array, "B *place C"]], Real[Array, "B *place channels"]]


def sample_keys(key: Key, index: Int[Array, "B"]) -> Keys:
    """One key a sample, ``[B,2]``, from the sample's number in the global batch: independent of the sharding."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(index)


def sample_normal(key: Key, index: Int[Array, "B"], size: int) -> Float[Array, "B {size}"]:
    """Standard normal noise ``[B,size]``, a sample's own as in ``sample_keys``."""
    return jax.vmap(lambda sample: jax.random.normal(sample, (size,)))(sample_keys(key, index))


def stack_at(
    frames: Real[Array | np.ndarray, "B L *place C"], first: int, size: int
) -> Real[Array, "B *place {size}*C"]:
    """Frames ``first .. first+size-1`` of windows ``[B,L,H,W,3]`` as one stack ``[B,H,W,3*size]``, oldest first.

    Vectors ``[B,L,F]`` become ``[B,F*size]``.
    """
    chex.assert_rank(frames, {3, 5})
    stack = jnp.moveaxis(frames[:, first : first + size], 1, -2)
    return jnp.reshape(stack, (*stack.shape[:-2], size * stack.shape[-1]))


def episode_windows(
    frames: Real[Array | np.ndarray, "T *frame"], length: int
) -> Real[Array, "T-{length}+1 {length} *frame"]:
    """All windows of ``length`` consecutive frames, ``[t,length,H,W,3]``, of ``frames [t+length-1,H,W,3]``."""
    steps = frames.shape[0] - length + 1
    return jnp.stack([frames[offset : offset + steps] for offset in range(length)], axis=1)


def pair(stack: Real[Array, "B *place C"], next_stack: Real[Array, "B *place C"]) -> Real[Array, "B *place 2*C"]:
    """(s, s'), two ``[B,H,W,3S]`` as one ``[B,H,W,6S]``."""
    return jnp.concatenate([stack, next_stack], axis=-1)


def single(stack: Real[Array, "B *place C"], next_stack: Real[Array, "B *place C"]) -> Real[Array, "B *place C"]:
    """s' alone, ``[B,H,W,3S]``."""
    del stack
    return next_stack


# What the discriminator sees of a transition (paper, Appendix B.1).
OBSERVATIONS: dict[str, Observation] = {"pair": pair, "single": single}
