"""Grad-CAM for expert and non-expert in one signed map (Selvaraju et al. 2017; paper, Appendix B.5 and Figure 11)."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Real

from patchail_jax.arrays import Scalar

# look(frames, offsets) -> (logits [T,P,P], activations {layer: [T,h,w,c]}): ``offsets`` of the same form are
# added to the activations, {} is none.
Activations = Mapping[str, Float[Array, "T _h _w _c"]]
Frames = Real[Array | np.ndarray, "N H W C"]
Look = Callable[[Frames, Activations], tuple[Float[Array, "T *patches"], Activations]]


def class_activation(look: Look, frames: Frames, *, layer: str) -> Float[Array, "T h w"]:
    """``sum_c w_c A_c`` of ``layer``, ``[T,h,w]``; w_c is the mean over positions of the expert score's gradient.

    The score is the logit, the mean of the logits where there is one a patch. The non-expert's score is its negative,
    hence so is its sum: positive entries speak for the expert, negative ones against.
    """
    _, activations = look(frames, {})

    def score(offset: Float[Array, "T h w c"]) -> Scalar:
        logits, _ = look(frames, {layer: offset})
        return jnp.sum(jnp.mean(jnp.reshape(logits, (logits.shape[0], -1)), axis=-1))

    gradient = jax.grad(score)(jnp.zeros_like(activations[layer]))
    weights = jnp.mean(gradient, axis=(1, 2), keepdims=True)
    return jnp.sum(weights * activations[layer], axis=-1)


def signed_gradcam(
    look: Look, frames: Frames, *, layer: str, image_size: int
) -> Float[Array, "T {image_size} {image_size}"]:
    """Both labels in one map ``[T,H,W]``: the expert's minus the non-expert's."""
    maps = class_activation(look, frames, layer=layer)
    return jax.image.resize(maps, (maps.shape[0], image_size, image_size), "bilinear")
