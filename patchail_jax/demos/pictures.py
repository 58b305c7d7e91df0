"""Pictures in whatever form they are kept, as ``[H,W,3] uint8``; what was done to them is noted."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from patchail_jax.errors import UserError

Notes = dict[str, None]  # lines, each once, in order

ERRORS = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)  # that Pillow raises on damage
_MOST_FRAMES = 16  # in a stack
_SMALLEST = 8  # pixels a side: fewer are channels
FLIPS = {"none": (), "vertical": (0,), "horizontal": (1,), "both": (0, 1)}  # the axes of [H,W,C] that are turned round
UNIT, BYTES, SIXTEEN_BITS = "0..1", "0..255", "16 bits"
_SIXTEEN = "16-bit pictures are reduced to 8 bits"
_ALPHA = "transparent pictures are laid on black"


def turned(before: str, now: str) -> str:
    """The name in ``FLIPS`` of the turn ``now`` after the turn ``before``; a name that is not there is no turn."""
    axes = {*FLIPS.get(before, ())} ^ {*FLIPS[now]}
    return next(name for name, turn in FLIPS.items() if {*turn} == axes)


class Layout(NamedTuple):
    """Where the channels of a picture stand, and how many a frame has: 1 (grey), 3, or 4 (the fourth is depth)."""

    first: bool
    channels: int

    def __str__(self) -> str:
        return f"channels_{'first' if self.first else 'last'}" + {1: "_grey", 3: "", 4: "_depth"}[self.channels]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether pictures ``[C,H,W]`` or ``[H,W,C]`` can be stacks of such frames."""
        count = shape[0] if self.first else shape[2]
        return count in range(self.channels, self.most + 1, self.channels) and min(self.sides(shape)) >= _SMALLEST

    @property
    def most(self) -> int:
        """Channels of the longest stack; grey frames are not stacked, as three of them would be colours."""
        return 1 if self.channels == 1 else _MOST_FRAMES * self.channels

    def sides(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Height and width."""
        return (shape[1], shape[2]) if self.first else (shape[0], shape[1])


LAYOUTS = {str(layout): layout for layout in itertools.starmap(Layout, itertools.product((True, False), (3, 4, 1)))}


def find_layout(shape: tuple[int, ...], *, asked: str = "") -> Layout:
    """The layout of pictures of three axes, by all of them together; ``asked`` is one of ``LAYOUTS``, or "".

    Square frames come before others. Raises UserError where none fits, or several do.
    """
    if len(shape) != 3:
        raise UserError(f"pictures must have three axes (channels, height, width), not {list(shape)}")
    if asked:
        if not LAYOUTS[asked].fits(shape):
            raise UserError(f"pictures of {list(shape)} are not {asked}")
        return LAYOUTS[asked]
    fitting = [layout for layout in LAYOUTS.values() if layout.fits(shape)]
    square = [layout for layout in fitting if len(set(layout.sides(shape))) == 1]
    found = square or fitting
    if len(found) > 1:
        raise UserError(f"pictures of {list(shape)} may be {' or '.join(map(str, found))}: choose one with --layout")
    if not found and {1, 3, 4} & {shape[0], shape[2]}:
        raise UserError(f"pictures of {list(shape)} have a side of fewer than {_SMALLEST} pixels")
    if not found:
        raise UserError(f"pictures of {list(shape)} have no axis of 1, 3 or 4 channels, or of a stack of such frames")
    return found[0]


def from_array(pictures: np.ndarray, layout: Layout, notes: Notes) -> np.ndarray:
    """The newest frames of ``pictures [T,C,H,W]`` or ``[T,H,W,C]``, ``[T,H,W,3]`` of the same numbers."""
    last = np.moveaxis(pictures, 1, 3) if layout.first else pictures
    newest = last[..., -layout.channels :]
    if last.shape[3] > layout.channels:
        notes.setdefault(f"{layout}: the newest of {last.shape[3] // layout.channels} stacked frames is kept")
    elif layout.first:
        notes.setdefault(f"pictures were kept {layout}")
    if layout.channels == 1:
        notes.setdefault("grey pictures, the same in all three colours")
        return np.repeat(newest, 3, axis=3)
    if layout.channels == 4:
        notes.setdefault("the fourth channel (depth or alpha) is left out")
    return newest[..., :3]


def scale(pictures: np.ndarray) -> str:
    """In what range numbers of pictures lie, or "" for the range of bytes and where it cannot be told.

    Floats that are all whole numbers are 0..255, so that nearly black pictures stay so.
    """
    kind = pictures.dtype.kind
    if kind not in "iuf":
        return ""
    high = pictures.max(initial=0)
    if kind == "f" and high <= 1:
        return UNIT if (pictures != np.floor(pictures)).any() else ""
    if high > 1 and (kind == "f" or pictures.dtype.itemsize > 1):
        return SIXTEEN_BITS if kind == "u" and pictures.dtype.itemsize == 2 and high > 255 else BYTES
    return ""


def to_bytes(pictures: np.ndarray, notes: Notes) -> np.ndarray:
    """``uint8`` of pictures in other numbers: 0..255, floats in 0..1, 16 bits. UserError for any other range."""
    if pictures.dtype == np.uint8:
        return pictures
    if pictures.dtype.kind not in "iuf" or not pictures.size:
        raise UserError(f"pictures must be numbers, not {pictures.dtype}")
    low, high = pictures.min(), pictures.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise UserError(f"pictures must lie in 0..255 or 0..1, not {low:g} to {high:g}")
    found = scale(pictures)
    if found == UNIT:
        notes.setdefault(f"pictures of {pictures.dtype} in 0..1 are multiplied by 255")
        return (pictures * 255 + 0.5).astype(np.uint8)
    if found == SIXTEEN_BITS:
        notes.setdefault(_SIXTEEN)
        return (pictures >> 8).astype(np.uint8)
    if high > 255:
        raise UserError(f"pictures must lie in 0..255 or 0..1, not {low:g} to {high:g}")
    notes.setdefault(f"pictures of {pictures.dtype} in 0..255 are rounded to whole numbers")
    return (pictures + 0.5).astype(np.uint8)


def from_picture(picture: Any, notes: Notes) -> np.ndarray:
    """A picture that Pillow has opened, ``[H,W,3] uint8``, upright; UserError for one of floats."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "F":
        raise UserError("pictures of floats, of an unknown range")
    if upright.mode.startswith("I"):
        notes.setdefault(_SIXTEEN)
        return np.repeat((np.asarray(upright).astype(np.uint32) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if not upright.has_transparency_data:
        return np.asarray(upright.convert("RGB"))
    return on_black(np.asarray(upright.convert("RGBA")), notes)


def on_black(picture: np.ndarray, notes: Notes) -> np.ndarray:
    """``picture [H,W,4] uint8`` with alpha, ``[H,W,3] uint8`` as seen before black."""
    alpha = picture[..., 3:].astype(np.uint16)
    if (alpha == 255).all():
        return np.ascontiguousarray(picture[..., :3])
    notes.setdefault(_ALPHA)
    return ((picture[..., :3] * alpha + 127) // 255).astype(np.uint8)
