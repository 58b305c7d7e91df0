"""Pictures of a LeRobot dataset as they come from a film or from a table: counted, measured and decoded."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from patchail_jax.demos import pictures
from patchail_jax.demos.gathering import Gathering
from patchail_jax.errors import UserError, one_line


def whole(shown: Iterator[np.ndarray], count: int, where: str) -> Iterator[np.ndarray]:
    """``shown``; UserError where fewer than ``count`` pictures come."""
    read = 0
    for picture in shown:
        read += 1
        yield picture
    if read < count:
        raise UserError(f"{where}: its film is damaged: {read} of {count} frames can be read")


def sized(shown: Iterator[np.ndarray], gathering: Gathering) -> Iterator[np.ndarray]:
    """``shown``; ``gathering`` is told the size of the largest."""
    for picture in shown:
        gathering.video_size = max(gathering.video_size, min(picture.shape[:2]))
        yield picture


def decoded(images: Any, gathering: Gathering, where: str) -> Iterator[np.ndarray]:
    """Each PNG or JPEG of a table's column as ``[H,W,3] uint8``; UserError for any other, named by ``where``."""
    series = pictures.Series(gathering.notes)
    for number, image in enumerate(images):
        held = image.as_py()
        if held is None:
            raise UserError(f"{where}: picture {number} is missing: choose others with --episodes")
        content = held.get("bytes") if isinstance(held, dict) else held
        if not isinstance(content, bytes):
            raise UserError(f"{where}: picture {number} is not in the table but elsewhere: refused")
        try:
            with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
                gathering.lossy |= picture.format == "JPEG"
                gathering.video_size = max(gathering.video_size, min(picture.size))
                yield series.take(picture)
        except UserError as error:
            raise UserError(f"{where}: picture {number}: {error}") from error
        except UnidentifiedImageError as error:
            raise UserError(
                f"{where}: picture {number} is no whole PNG or JPEG: write it again as one of them"
            ) from error
        except pictures.ERRORS as error:
            raise UserError(f"{where}: picture {number} cannot be read ({one_line(error, 80)})") from error
