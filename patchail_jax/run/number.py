"""Values of a config's fields: of which kind they are, what each is at first, and between which bounds it may be."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

KINDS = {int: "a whole number (int)", float: "a number (float)", bool: "True or False", str: "text (str)"}
MOST = 2**31 - 1  # steps and updates that the devices count: in int32


def is_of(kind: type, value: Any) -> bool:
    """Whether ``value`` is of one of ``KINDS``: a whole number is a number too, True and False are neither."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


class Number(NamedTuple):
    """A field's default, the least and the most that it may be, and what 0 means where it is a special value."""

    default: float
    least: float
    most: float = math.inf
    zero: str = ""

    def allows(self, value: float) -> bool:
        """Whether the field may be ``value``."""
        return math.isfinite(value) and self.least <= value <= self.most

    def bounds(self) -> str:
        """What the field may be, in words."""
        least = f"{self.least} ({self.zero})" if self.zero and self.least == 0 else str(self.least)
        if math.isinf(self.least):
            return "it must be finite"
        return f"it must be {least} {f'to {self.most}' if math.isfinite(self.most) else 'or more'}"


def defaults(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, groups in groups, with each ``Number``'s default in its place."""
    return {
        key: defaults(field) if isinstance(field, Mapping) else field.default if isinstance(field, Number) else field
        for key, field in fields.items()
    }
