"""Reads npz files that may be damaged, cut short or something else."""

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.errors import UserError, one_line

# What numpy and zipfile raise on damaged archives (found by flipping bytes); of a compression that zipfile does not
# know it is a RuntimeError.
_READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Any]:
    """numpy's archive of the file; ``UserError``, one line, for no npz file and for what cannot be read inside."""
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(
                f"{path}: not a complete .npz file (cut short, or of another kind): copy or record it again"
            )
        with np.load(path, allow_pickle=False) as archive:
            yield archive
    except _READ_ERRORS as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}): copy or record it again") from error
