"""The kinds of maps over a frame, and what their colours mean."""

import numpy as np
from jaxtyping import Float

KINDS = {
    "patch_rewards": "patch reward, red is expert-like",
    "attention": "attention, red above even, blue below",
    "weighted": "patch reward x attention, red is expert-like",
    "gradcam": "Grad-CAM, red for expert, blue against",
}


def signed(kind: str, maps: Float[np.ndarray, "T H W"]) -> Float[np.ndarray, "T H W"]:
    """Maps whose 0 is neutral, for colours that are symmetric about 0: even attention is 1."""
    return maps - 1.0 if kind == "attention" else maps
