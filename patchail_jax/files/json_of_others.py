"""JSON that other programs wrote: of sane depth, with numbers that can be calculated with."""

import json
import math
from typing import Any

_LONGEST = 18  # digits of a whole number, which 64 bits hold


def parsed(text: str) -> Any:
    """What ``text`` says; ``ValueError``, in few words, for all that is no JSON, or nested or sized beyond use."""
    try:
        return json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("lists nested too deep") from error


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > _LONGEST:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no number")
    return number
