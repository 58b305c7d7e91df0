"""Whether demonstrations begin as the task's episodes do: the same way round, in the same colours, of the same scene.

Pictures are compared by their mean rows and mean columns, in which the background counts and where the robot lies does
not. Measured at 48 pixels on the seven shipped tasks: their own demonstrations are 0.2 to 8.4 grey levels apart from
four resets; upside down 7 to 16 (walker's, which shows floor alone, does not change), with red and blue exchanged 21
to 34, of another robot 3.5 to 11.
"""

from collections.abc import Callable

import numpy as np

RESETS = 4
_NEARER, _LEAST = 0.5, 2.0  # of the distance, and grey levels: turned round, the pictures fit this much better
_FAR = 12.0  # grey levels, beyond which nothing looks alike

_TURNS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "upside down": ("convert them with --flip vertical", lambda frames: frames[:, ::-1]),
    "mirrored": ("convert them with --flip horizontal", lambda frames: frames[:, :, ::-1]),
    "turned by half": ("convert them with --flip both", lambda frames: frames[:, ::-1, ::-1]),
    "in other colours (red and blue exchanged)": (
        "exchange them in the source: programs that write by OpenCV often do",
        lambda frames: frames[..., ::-1],
    ),
    "upside down and in other colours": (
        "exchange red and blue in the source, and convert with --flip vertical",
        lambda frames: frames[:, ::-1, :, ::-1],
    ),
}


def compare(first: np.ndarray, resets: np.ndarray) -> str:
    """What is odd about ``first`` frames of demonstrations ``[D,H,W,3]`` beside the task's ``resets``; "" if nothing.

    Both ``uint8`` of one size. It is a guess: demonstrations may start elsewhere than episodes do.
    """
    apart = _distance(first, resets)
    turned = {name: _distance(turn(first), resets) for name, (_, turn) in _TURNS.items()}
    nearest = min(turned, key=lambda name: turned[name])
    if turned[nearest] < _NEARER * apart and apart - turned[nearest] > _LEAST:
        return (
            f"the demonstrations seem to be {nearest}: so they are {turned[nearest]:.1f} grey levels apart from the "
            f"task's own first frames, and {apart:.1f} as they are; {_TURNS[nearest][0]}"
        )
    if apart > _FAR:
        return (
            f"the demonstrations' first frames are {apart:.1f} grey levels apart from the task's own: another camera, "
            "light or scene? A discriminator tells such frames apart without looking at the behaviour"
        )
    return ""


def _distance(some: np.ndarray, others: np.ndarray) -> float:
    """Mean difference of the mean rows and columns, in grey levels."""
    first, second = (
        np.concatenate([mean.mean(axis=0), mean.mean(axis=1)])
        for mean in (frames.mean(axis=0, dtype=np.float64) for frames in (some, others))
    )
    return float(np.abs(first - second).mean())
