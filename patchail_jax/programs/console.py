"""What every program of the package does at its two ends: its log on the console, bad input as one line."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

from patchail_jax.errors import UserError


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """A ``UserError`` ends the program with one line on stderr and status 2."""
    try:
        yield
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def show_log(stream: TextIO) -> None:
    """The package's log lines, as they are, on ``stream``."""
    console = logging.StreamHandler(stream)
    console.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("patchail_jax")
    # The root logger belongs to absl, which ml_collections and orbax bring along with their own talk.
    ours.handlers, ours.propagate = [console], False
    ours.setLevel(logging.INFO)
