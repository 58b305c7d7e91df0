"""Maps over the frames of an episode that say where a trained discriminator's reward comes from."""

from collections.abc import Collection
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, PyTree, UInt8

from patchail_jax.devices.data_parallel import Devices
from patchail_jax.errors import UserError
from patchail_jax.maps.gradcam import Activations, Frames, signed_gradcam
from patchail_jax.maps.kinds import KINDS
from patchail_jax.maps.patch_map import patch_map, weighted_patch_map
from patchail_jax.maps.spatial_attention import spatial_attention
from patchail_jax.methods.method import Judge


class Explanation(NamedTuple):
    """The logits ``[T,P,P]``, high for the expert; the aggregated reward ``[T]`` of each step (Eq. 5), without the
    regularisation of Eq. 9 and 10; and maps ``[T,H,W] float32`` by kind."""

    logits: Float[np.ndarray, "T *patches"]
    rewards: Float[np.ndarray, "T"]
    maps: dict[str, Float[np.ndarray, "T H W"]]


Pixels = UInt8[np.ndarray, "N H W 3"]  # an episode's frames, one more than it has steps
Window = UInt8[Array, "N H W 3"]  # what of them one call of a method reads


class Explainer:
    """Explains episodes by a discriminator, for frames of ``image_size`` pixels a side."""

    def __init__(self, discriminator: Judge, devices: Devices, *, image_size: int) -> None:
        examine = discriminator.examine
        self._devices, self._examine, self._side = devices, examine, image_size
        self.reach = discriminator.reach  # steps between the s and s' that are judged
        self._rewards, self._patch_rewards = discriminator.rewards, discriminator.patch_rewards
        self._layers = discriminator.layers
        # Attention and Grad-CAM are read off convolutions.
        self.kinds = tuple(KINDS) if discriminator.convolutional else ("patch_rewards",)
        self._logits = jax.jit(lambda state, frames: examine(state, frames, {})[0])
        self._attention, self._gradcam = jax.jit(self._attend), jax.jit(self._attribute)

    def logits(self, state: PyTree, frames: Pixels) -> Float[np.ndarray, "N-1 *patches"]:
        """The discriminator's logits ``[T,P,P]`` of ``frames [T+1,H,W,3] uint8``, high for the expert."""
        return self._devices.over_episode(self._logits, state, frames)

    def patch_rewards(self, state: PyTree, frames: Pixels) -> Float[np.ndarray, "N-1 *patches"]:
        """The rewards ``[T,P,P]`` of the patches of ``frames [T+1,H,W,3] uint8`` (h of Eq. 5, scaled)."""
        return np.array(self._patch_rewards(jnp.asarray(self.logits(state, frames))))

    def explain(self, state: PyTree, frames: Pixels, kinds: Collection[str]) -> Explanation:
        """The rewards and the maps of ``kinds``, some of ``KINDS``, for ``frames [T+1,H,W,3] uint8``.

        Attention is 1 where it is even. Grad-CAM is positive for the expert's label, negative for the non-expert's.
        ``UserError`` for a kind that this discriminator does not have.
        """
        for kind in kinds:
            if kind not in self.kinds:
                raise UserError(f"no kind {kind!r} of map here; use one of {', '.join(self.kinds)}")
        logits = self.logits(state, frames)
        found: dict[str, Array | np.ndarray] = {}
        if not {"patch_rewards", "weighted"}.isdisjoint(kinds):
            patch_rewards = self._patch_rewards(jnp.asarray(logits))
            found["patch_rewards"] = patch_map(patch_rewards, image_size=self._side, layers=self._layers)
        if not {"attention", "weighted"}.isdisjoint(kinds):
            found["attention"] = self._devices.over_episode(self._attention, state, frames)
        if "weighted" in kinds:
            found["weighted"] = weighted_patch_map(found["patch_rewards"], found["attention"])
        if "gradcam" in kinds:
            found["gradcam"] = self._devices.over_episode(self._gradcam, state, frames)
        maps = {kind: np.array(found[kind], np.float32) for kind in kinds}  # copies: jax's own are read-only
        return Explanation(logits, np.array(self._rewards(jnp.asarray(logits))), maps)

    def _attend(self, state: PyTree, frames: Window) -> Float[Array, "T H W"]:
        """The last layer's, times the number of positions."""
        _, activations = self._examine(state, frames, {})
        last = list(activations.values())[-1]
        return spatial_attention(last, image_size=self._side) * (last.shape[1] * last.shape[2])

    def _attribute(self, state: PyTree, frames: Window) -> Float[Array, "T H W"]:
        def look(pixels: Frames, offsets: Activations) -> tuple[Float[Array, "T *patches"], Activations]:
            return self._examine(state, pixels, offsets)

        layer = list(look(frames, {})[1])[-1]
        return signed_gradcam(look, frames, layer=layer, image_size=self._side)
