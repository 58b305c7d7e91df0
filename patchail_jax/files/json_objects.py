"""JSON that a disk may have damaged, or somebody else have written."""

import json
import math
from pathlib import Path
from typing import Any

from patchail_jax.errors import UserError, one_line
from patchail_jax.files.ordinary import refuse_special

_MOST = 2**63 - 1  # of whole numbers: nothing that we write has more, and floats and numpy's would overflow


def parsed(text: str | bytes, *, finite: bool = False) -> dict[str, Any]:
    """The object that ``text`` is. ``ValueError``, and nothing else, where it is none, or too deep or large for one.

    Also for a number that is not ``finite``, where all must be.
    """
    number = _finite if finite else float
    try:
        found = json.loads(text, parse_int=_whole, parse_float=number, parse_constant=number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"it is no object, but of type {type(found).__name__}")
    return found


def read_json(path: Path, *, remedy: str) -> dict[str, Any]:
    """The object in the file; ``UserError``, one line that ends in the ``remedy``, where it cannot be read."""
    refuse_special(path)
    try:
        return parsed(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else one_line(error, 160)
        raise UserError(f"{path} cannot be read ({reason}): {remedy}") from error


def _whole(digits: str) -> int:
    number = int(digits)
    if abs(number) > _MOST:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no number")
    return number
