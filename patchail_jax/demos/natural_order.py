"""Names in the order that people give them numbers: frame_2 before frame_10."""

import re
from typing import Any


def by_number(name: str) -> list[Any]:
    """A key to sort names by."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]
