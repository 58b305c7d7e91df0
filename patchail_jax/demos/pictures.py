"""Pictures in whatever form they are kept, as ``[H,W,3] uint8``; what was done to them is noted."""

import itertools
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from patchail_jax.errors import UserError

Notes = dict[str, None]  # lines, each once, in order

ERRORS = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)  # that Pillow raises on damage
_MOST_FRAMES = 16  # in a stack
_LOOKED_AT = 500  # of an episode's stacks, to see whether they slide
SMALLEST = 8  # pixels a side: fewer are channels, and show nothing
FLIPS = {"none": (), "vertical": (0,), "horizontal": (1,), "both": (0, 1)}  # the axes of [H,W,C] that are turned round
UNIT, BYTES, SIXTEEN_BITS, DOUBTFUL = "0..1", "0..255", "16 bits", "a range that cannot be told"
_MOST_UNIT, _LEAST_BYTES = 1.5, 16  # of floats: resampling overshoots, and darker pictures of 0..255 show nothing
_LEAST_SIXTEEN = 2**14  # of 16 bits: below, they may be 10, 12 or 14
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

    def fits(self, shape: tuple[int, ...], *, asked: bool = False) -> bool:
        """Whether pictures ``[C,H,W]`` or ``[H,W,C]`` can be stacks of such frames.

        Grey frames are stacked only where they are ``asked`` for, as three of them may be colours.
        """
        count = shape[0] if self.first else shape[2]
        most = self.channels * (_MOST_FRAMES if asked or self.channels > 1 else 1)
        return count in range(self.channels, most + 1, self.channels) and min(self.sides(shape)) >= SMALLEST

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
        if not LAYOUTS[asked].fits(shape, asked=True):
            raise UserError(f"pictures of {list(shape)} are not {asked}")
        return LAYOUTS[asked]
    fitting = [layout for layout in LAYOUTS.values() if layout.fits(shape)]
    square = [layout for layout in fitting if len(set(layout.sides(shape))) == 1]
    found = square or fitting
    if len(found) > 1:
        raise UserError(f"pictures of {list(shape)} may be {' or '.join(map(str, found))}: choose one with --layout")
    if not found and {1, 3, 4} & {shape[0], shape[2]}:
        raise UserError(f"pictures of {list(shape)} have a side of fewer than {SMALLEST} pixels")
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


def refuse_grey_stacks(pictures: np.ndarray, layout: Layout) -> None:
    """UserError where the channels of ``pictures [T,C,H,W]`` or ``[T,H,W,C]`` are grey frames one after the other.

    Such stacks slide: what a channel shows, its neighbour shows one step later. Colours do not.
    """
    for newest_first, remedy in ((False, ""), (True, "turn their channels round, as the first is the newest, and ")):
        if _slide(pictures, layout._replace(channels=1), newest_first=newest_first):
            raise UserError(
                f"pictures of {list(pictures.shape[1:])} are stacks of grey frames, as each channel shows what its "
                f"neighbour shows a step later: {remedy}use --layout {layout._replace(channels=1)}"
            )


def refuse_newest_first(pictures: np.ndarray, layout: Layout) -> None:
    """UserError where ``pictures [T,C,H,W]`` or ``[T,H,W,C]`` are stacks that begin with their newest frame."""
    if _slide(pictures, layout, newest_first=True) and not _slide(pictures, layout, newest_first=False):
        raise UserError(
            f"pictures of {list(pictures.shape[1:])} are stacks that begin with the newest frame: turn their frames "
            "round, so that each ends with it"
        )


def _slide(pictures: np.ndarray, layout: Layout, *, newest_first: bool) -> bool:
    """Whether most of ``pictures`` that are not still have in each frame but one what its neighbour shows a step later.

    ``newest_first`` says on which side of the older one the newer frame stands.
    """
    planes = (pictures if layout.first else np.moveaxis(pictures, 3, 1))[:_LOOKED_AT]
    count = planes.shape[1] // layout.channels
    stacks = planes.reshape(len(planes), count, layout.channels, *planes.shape[2:])[:, :: -1 if newest_first else 1]
    slides = [
        np.array_equal(later[:-1], earlier[1:])
        for earlier, later in itertools.pairwise(stacks)
        if (earlier[0] != earlier[-1]).any()
    ]
    return 2 * sum(slides) > len(slides)


def scale(pictures: np.ndarray) -> str:
    """In what range numbers of pictures lie, or "" for the range of bytes and where all ranges fit.

    Floats that are all whole numbers are 0..255, so that nearly black pictures stay so. Other floats are 0..1 where
    none is above 1.5, and 0..255 where one is 16 or more. Numbers of 16 bits are 0..255 where none is above it, and
    use all bits where one is 16384 or more. What lies between is ``DOUBTFUL``.
    """
    kind, size = pictures.dtype.kind, pictures.dtype.itemsize
    if kind not in "iuf" or size == 1:
        return ""
    high = pictures.max(initial=0)
    if kind == "f" and high < _LEAST_BYTES and (pictures != np.floor(pictures)).any():
        return UNIT if high <= _MOST_UNIT else DOUBTFUL
    if kind == "u" and size == 2 and high > 255:
        return SIXTEEN_BITS if high >= _LEAST_SIXTEEN else DOUBTFUL
    return BYTES if high > 1 else ""


def refuse_two_scales(found: str, before: str) -> None:
    """UserError where ``scale`` has ``found`` another range than ``before``; "" fits all."""
    if found and before and found != before:
        one, other = sorted((found, before))
        raise UserError(f"some pictures have values in {one} and others in {other}: bring them all to one range")


def to_bytes(pictures: np.ndarray, notes: Notes) -> np.ndarray:
    """``uint8`` of ``pictures [T,...]`` in other numbers: 0..255, floats in 0..1, 16 bits, see ``scale``.

    UserError for any other range, and where some lie in 0..1 and others in 0..255.
    """
    if pictures.dtype == np.uint8:
        return pictures
    if pictures.dtype.kind not in "iuf" or not pictures.size:
        raise UserError(f"pictures must be numbers, not {pictures.dtype}")
    low, high, found = pictures.min(), pictures.max(), scale(pictures)
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or (high > 255 and found in ("", BYTES)):
        raise UserError(f"pictures must lie in 0..255 or 0..1, not {low:g} to {high:g}")
    if found == DOUBTFUL:
        raise _doubtful(f"{pictures.dtype}", high)
    if found == UNIT:
        notes.setdefault(f"pictures of {pictures.dtype} in 0..1 are multiplied by 255")
        if high > 1:
            notes.setdefault("pictures in 0..1 have values a little above 1, which are taken for 1")
        return (np.minimum(pictures, 1) * 255 + 0.5).astype(np.uint8)
    if found == SIXTEEN_BITS:
        notes.setdefault(_SIXTEEN)
        return (pictures >> 8).astype(np.uint8)
    for picture in pictures if pictures.dtype.kind == "f" else ():
        refuse_two_scales(scale(picture).replace(DOUBTFUL, ""), found)
    notes.setdefault(f"pictures of {pictures.dtype} in 0..255 are rounded to whole numbers")
    return (pictures + 0.5).astype(np.uint8)


def _doubtful(kind: str, high: float) -> UserError:
    return UserError(
        f"pictures of {kind} have values up to {high:g}, of a range that is not known: bring them to 0..255"
    )


class Series:
    """The pictures of one video or episode, as Pillow opens them one by one; what is done to them is noted."""

    def __init__(self, notes: Notes) -> None:
        self._notes, self._size, self._scale = notes, (0, 0), ""

    def take(self, picture: Any) -> np.ndarray:
        """The next picture, ``[H,W,3] uint8``, upright.

        UserError for one of floats or of another size than the first, and for numbers of 16 bits in a range that
        ``scale`` cannot tell, or in another than those of the first that is not black.
        """
        upright = ImageOps.exif_transpose(picture)
        self._size = self._size if any(self._size) else upright.size
        if upright.size != self._size:
            sizes = "{}x{} and {}x{}".format(*self._size, *upright.size)
            raise UserError(f"pictures of one video are of one size, not {sizes}")
        if upright.mode == "F":
            raise UserError("pictures of floats, of an unknown range")
        if upright.mode.startswith("I"):
            return np.repeat(self._sixteen_bits(np.asarray(upright).astype(np.uint16))[..., None], 3, axis=2)
        if not upright.has_transparency_data:
            return np.asarray(upright.convert("RGB"))
        return on_black(np.asarray(upright.convert("RGBA")), self._notes)

    def _sixteen_bits(self, picture: np.ndarray) -> np.ndarray:
        found = scale(picture)
        if found == DOUBTFUL and self._scale != SIXTEEN_BITS:
            raise _doubtful("16 bits", picture.max())
        self._scale = self._scale or found
        if self._scale == SIXTEEN_BITS:  # of which some may be dark
            self._notes.setdefault(_SIXTEEN)
            return (picture >> 8).astype(np.uint8)
        refuse_two_scales(found, self._scale)
        self._notes.setdefault("16-bit pictures with values in 0..255 keep them")
        return picture.astype(np.uint8)


def on_black(picture: np.ndarray, notes: Notes) -> np.ndarray:
    """``picture [H,W,4] uint8`` with alpha, ``[H,W,3] uint8`` as seen before black."""
    alpha = picture[..., 3:].astype(np.uint16)
    if (alpha == 255).all():
        return np.ascontiguousarray(picture[..., :3])
    notes.setdefault(_ALPHA)
    return ((picture[..., :3] * alpha + 127) // 255).astype(np.uint8)
