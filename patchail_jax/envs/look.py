"""The look of a video: what changing its size and a lossy codec do to pictures, done to everybody's alike.

A discriminator that sees the expert as a video decoded it and the agent as a renderer drew it tells them apart by the
codec's traces and never looks at the behaviour. Coarser traces, laid over both, hide the finer ones.
"""

import io
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from patchail_jax.envs.outcome import Outcome
from patchail_jax.errors import UserError

LOOKS = ("none", "video")

# Found by measuring on x264 at qualities 18 to 28: the gap of 45 frequency statistics between the frames of a video and
# rendered ones shrinks from 1.3-1.6 standard deviations to 0.2-0.6. Blur alone or compression alone leave 0.5 to 1.3.
QUALITY = 20  # of 95, JPEG's, with colours at half the resolution
BLUR = 1.0  # pixels, the standard deviation of a Gaussian


def square(frame: np.ndarray, image_size: int) -> np.ndarray:
    """The middle square of ``frame [H,W,3] uint8``, reduced by the mean over areas to ``[image_size,image_size,3]``.

    ``UserError`` for a frame that is smaller: enlarging shows nothing new.
    """
    height, width = frame.shape[:2]
    side = min(height, width)
    if side < image_size:
        raise UserError(f"frames of {width}x{height} pixels are too small for an image size of {image_size}")
    top, left = (height - side) // 2, (width - side) // 2
    middle = frame[top : top + side, left : left + side]
    if side == image_size:
        return np.ascontiguousarray(middle)
    reduced = Image.fromarray(middle).resize((image_size, image_size), Image.Resampling.BOX)
    return np.asarray(reduced)


def video_look(frame: np.ndarray, image_size: int) -> np.ndarray:
    """``frame [H,W,3] uint8`` as a video of ``image_size`` pixels would show it: reduced, compressed, blurred."""
    compressed = io.BytesIO()
    Image.fromarray(square(frame, image_size)).save(compressed, "JPEG", quality=QUALITY, subsampling="4:2:0")
    with Image.open(compressed) as picture:
        return np.asarray(picture.convert("RGB").filter(ImageFilter.GaussianBlur(BLUR)))


def drawn_size(*, image_size: int, look: str, look_size: int) -> int:
    """Pixels a side that are drawn before the look; ``UserError`` for a look or size that does not exist."""
    if look not in LOOKS:
        raise UserError(f"config.env.look is {look!r}; use one of {', '.join(LOOKS)}")
    if look == "none" or not look_size:
        return image_size
    if look_size < image_size:
        raise UserError(f"config.env.look_size is {look_size}: a video smaller than the image size of {image_size}")
    return look_size


class VideoLook:
    """An environment whose frames look like a video's."""

    def __init__(self, environment: Any, *, image_size: int) -> None:
        self._environment, self._size = environment, image_size
        self.action_size: int = environment.action_size
        self.renderer: str | None = environment.renderer

    def reset(self, seed: int) -> Outcome:
        """Starts the episode of ``seed``."""
        return self._seen(self._environment.reset(seed))

    def step(self, action: np.ndarray) -> Outcome:
        """Plays ``action [A]`` for one agent step."""
        return self._seen(self._environment.step(action))

    def restore(self, seed: int, actions: np.ndarray) -> None:
        """Plays the episode of ``seed`` up to after ``actions [t,A]`` without rendering."""
        self._environment.restore(seed, actions)

    def recorded(self) -> np.ndarray:
        """What a recording keeps: the state, or the newest frame without the look, which training lays over it."""
        kept: np.ndarray = self._environment.recorded()
        return kept if kept.ndim == 1 else square(kept, self._size)

    def close(self) -> None:
        """Frees the environment."""
        self._environment.close()

    def _seen(self, outcome: Outcome) -> Outcome:
        return outcome._replace(frame=video_look(outcome.frame, self._size))
