"""Grad-CAM for the labels expert and non-expert (Selvaraju et al. 2017; paper, Appendix B.5 and Figure 11)."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

# look(pixels, offsets) -> (logits [B] or [B,P,P], activations {layer: [B,h,w,c]}): ``offsets`` of the same form are
# added to the activations, {} is none.
Look = Callable[[Any, Mapping[str, Any]], tuple[Any, Mapping[str, Any]]]

LABELS = {"expert": 1.0, "non_expert": -1.0}


def class_activation(look: Look, pixels: Any, *, layer: str) -> Any:
    """``sum_c w_c A_c`` of ``layer``, ``[B,h,w]``; w_c is the mean over positions of the expert score's gradient.

    The score is the logit, the mean of the logits where there is one a patch. The non-expert's score is its negative,
    hence so is its sum: positive entries speak for the expert, negative ones against.
    """
    _, activations = look(pixels, {})

    def score(offset: Any) -> Any:
        logits, _ = look(pixels, {layer: offset})
        return jnp.sum(jnp.mean(jnp.reshape(logits, (logits.shape[0], -1)), axis=-1))

    gradient = jax.grad(score)(jnp.zeros_like(activations[layer]))
    weights = jnp.mean(gradient, axis=(1, 2), keepdims=True)
    return jnp.sum(weights * activations[layer], axis=-1)


def gradcam(look: Look, pixels: Any, *, layer: str, label: str, image_size: int) -> Any:
    """The Grad-CAM map ``[B,H,W]`` of ``label``, "expert" or "non_expert": the positive part, resized to the frame."""
    return _resize(jax.nn.relu(LABELS[label] * class_activation(look, pixels, layer=layer)), image_size)


def signed_gradcam(look: Look, pixels: Any, *, layer: str, image_size: int) -> Any:
    """Both labels in one map ``[B,H,W]``: the expert's minus the non-expert's."""
    return _resize(class_activation(look, pixels, layer=layer), image_size)


def _resize(maps: Any, image_size: int) -> Any:
    return jax.image.resize(maps, (maps.shape[0], image_size, image_size), "bilinear")
