"""Maps drawn over frames, the frame still visible underneath: for films, sheets and pages alike."""

from collections.abc import Sequence

import numpy as np

from patchail_jax.errors import NotFiniteValues
from patchail_jax.types import all_finite

# ColorBrewer's RdBu, reversed and without its darkest ends: blue below 0, red above, as in the paper's Figure 1.
_ANCHORS = ("2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b")
_RGB = np.asarray([[int(anchor[place : place + 2], 16) for place in (0, 2, 4)] for anchor in _ANCHORS], np.float32)

PERCENTILE = 99.0  # of |value|: a few extreme entries would wash out all others
_DARKEST, _GAMMA = 0.35, 0.6  # of the frame underneath: light, so that colours stay colours


def limit_of(maps: Sequence[np.ndarray]) -> float:
    """The limit of symmetric colours that fits all of ``maps``, above 0.

    ``NotFiniteValues`` where they have values that are no numbers.
    """
    if not all_finite(maps):
        raise NotFiniteValues("the discriminator's maps are not finite: an update has broken it")
    return float(np.percentile(np.abs(np.concatenate([one.ravel() for one in maps])), PERCENTILE)) or 1.0


def colours(values: np.ndarray, *, limit: float) -> np.ndarray:
    """``values [...]`` to ``[...,3] float32`` in 0..255: blue at ``-limit``, white at 0, red at ``limit``."""
    place = (np.clip(values / limit, -1.0, 1.0) + 1.0) / 2.0 * (len(_RGB) - 1)
    below = np.minimum(place.astype(np.int64), len(_RGB) - 2)
    share = (place - below)[..., None].astype(np.float32)
    return (1.0 - share) * _RGB[below] + share * _RGB[below + 1]


def overlay(frames: np.ndarray, maps: np.ndarray, *, limit: float) -> np.ndarray:
    """``frames [T,H,W,3] uint8`` in light grey, tinted by ``maps [T,H,W]``; grey where the map is 0."""
    grey = (frames.mean(axis=-1, keepdims=True, dtype=np.float32) / 255.0) ** _GAMMA
    light = _DARKEST + (1.0 - _DARKEST) * grey
    return np.round(light * colours(maps, limit=limit)).astype(np.uint8)
