"""How a film's pixels become the picture that a player shows: square, upright and not mirrored."""

from fractions import Fraction

import numpy as np

from patchail_jax.errors import UserError


def square_size(width: int, height: int, shape: Fraction) -> tuple[int, int]:
    """Width and height at which pixels of ``shape`` (width to height) are square: the longer one is drawn out."""
    return (round(width * shape), height) if shape > 1 else (width, round(height / shape))


def upright(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """``picture [H,W,3]`` as a player shows it: turned by quarters and mirrored as the file's ``matrix [9]`` says."""
    right, down = matrix[[0, 3]], matrix[[1, 4]]  # what a step along x and along y adds to x and to y
    if not right[1] and not down[0]:
        across, along = right[0], down[1]
    elif not right[0] and not down[1]:
        picture, across, along = np.swapaxes(picture, 0, 1), right[1], down[0]
    else:
        raise UserError("is stored turned by part of a quarter; turn it upright first")
    return picture[:: -1 if along < 0 else 1, :: -1 if across < 0 else 1]
