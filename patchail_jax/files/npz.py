"""Npz files: written whole or not at all; read though they may be damaged, cut short or something else."""

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.errors import UserError, one_line
from patchail_jax.files.ordinary import refuse_special
from patchail_jax.files.whole_file import whole_file

# What numpy and zipfile raise on damaged archives (found by flipping bytes); of a compression that zipfile does not
# know it is a RuntimeError.
_READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error)
_GIB = 1024**3


def write(path: Path, arrays: Mapping[str, Any], *, compressed: bool = False, replace: bool = True) -> None:
    """Writes ``arrays`` by their names; ``OSError`` where the disk does not take them, see also ``whole_file``."""
    save = np.savez_compressed if compressed else np.savez
    with whole_file(path, replace=replace) as unfinished, unfinished.open("wb") as stream:
        save(stream, allow_pickle=False, **arrays)


@contextlib.contextmanager
def reading(path: Path, *, memory: int | None = None, remedy: str = "") -> Iterator[Any]:
    """numpy's archive of the file; ``UserError``, one line, for no npz file and for what cannot be read inside.

    ``UserError`` with the ``remedy`` too where its arrays would take more than ``memory`` bytes.
    """
    refuse_special(path)
    try:
        with path.open("rb") as stream:  # is_zipfile of a name takes an unreadable file for another kind
            whole = stream.read(2) == b"PK" and zipfile.is_zipfile(stream)  # which also takes one behind other bytes
        if not whole:
            raise UserError(f"{path}: not a complete .npz file (cut short, or of another kind): copy or make it again")
        with np.load(path, allow_pickle=False) as archive:
            # Before anything is unpacked, and enough: no part unpacks to more than its entry says.
            size = sum(part.file_size for part in archive.zip.infolist())
            if memory is not None and size > memory:
                raise UserError(
                    f"{path}: its arrays take {size / _GIB:.1f} GiB, and {memory / _GIB:.1f} GiB of memory are free: "
                    f"{remedy}"
                )
            yield archive
    except _READ_ERRORS as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}): copy or make it again") from error
