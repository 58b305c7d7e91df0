"""The kinds of maps over a frame, and what their colours mean."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

KINDS = {
    "patch_rewards": "patch reward, red is expert-like",
    "attention": "attention, red above even, blue below",
    "weighted": "patch reward x attention, red is expert-like",
    "gradcam": "Grad-CAM, red for expert, blue against",
}


# Forms of rewards (``reward.form``) whose red is not the expert's: -d exp(d) falls above 0, and log D is never there.
_OTHERWISE = ("fairl", "gail_log_d")


def meaning(kind: str, forms: Iterable[str]) -> str:
    """What the colours of a kind of map mean, for the maps of runs whose ``reward.form`` are ``forms``."""
    return KINDS[kind].replace("expert-like", "above 0, blue below") if set(forms) & set(_OTHERWISE) else KINDS[kind]


def signed(kind: str, maps: Float[np.ndarray, "T H W"]) -> Float[np.ndarray, "T H W"]:
    """Maps whose 0 is neutral, for colours that are symmetric about 0: even attention is 1."""
    return maps - 1.0 if kind == "attention" else maps
