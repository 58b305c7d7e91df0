"""What a check gives, and how a broken check becomes a finding of its own."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from patchail_jax.errors import UserError, one_line

Status = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """One line of the table: ``problem`` means that a run would fail; the remedy is empty where nothing is wrong."""

    name: str
    status: Status
    finding: str
    remedy: str = ""


def examine(name: str, check: Callable[[], Finding]) -> Finding:
    """The check's finding; what it raises is a problem."""
    try:
        return check()
    except UserError as error:
        what, _, remedy = str(error).partition("; ")
        return Finding(name, "problem", what, remedy)
    except Exception as error:  # noqa: BLE001 - whatever breaks here would break in a run
        what = f"{type(error).__name__}: {one_line(error)}"
        return Finding(name, "problem", what, "run it alone for the whole traceback")
