"""Data sets of an HDF5 file, and of no other file that it points to, as far as memory goes."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.errors import UserError, one_line

_ERRORS = (OSError, RuntimeError, KeyError, TypeError, ValueError)


class Inside:
    """An open file; names are paths in it."""

    def __init__(self, file: Any, path: Path, memory: int) -> None:
        self.file, self.path, self.memory = file, path, memory

    def __contains__(self, name: str) -> bool:
        return name in self.file

    def get(self, name: str) -> Any:
        """The data set or group; ``UserError`` where it is not there, or elsewhere."""
        import h5py

        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            within = "/".join(parts[:depth])
            link = self.file.get(within, getlink=True)
            if link is None:
                raise UserError(f"{self.path}: has no {within}")
            if not isinstance(link, h5py.HardLink):
                raise UserError(f"{self.path}: {within} points elsewhere: refused")
        found = self.file[name]
        if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
            raise UserError(f"{self.path}: {name} lies in another file: refused")
        return found

    def names(self, name: str) -> list[str]:
        """What the group of that name holds, in order; ``UserError`` where it is a data set."""
        found = self.get(name)
        if not hasattr(found, "keys"):
            raise UserError(f"{self.path}: {name} is a data set, and a group of several is needed there")
        return sorted(found)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the data set; ``UserError`` where it is none, or one of no axes."""
        shape = getattr(self.get(name), "shape", None)
        if not shape:
            raise UserError(f"{self.path}: {name} must be a data set of rows")
        return tuple(shape)

    def take(self, name: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """Items ``start .. end-1`` of a data set, after asking how large they are."""
        shape, data = self.shape(name), self.get(name)
        count = len(range(*slice(start, end).indices(shape[0])))
        needed = count * data.dtype.itemsize * math.prod(shape[1:])
        if needed > self.memory:
            gib, free = needed / 1024**3, self.memory / 1024**3
            raise UserError(f"{self.path}: {name} takes {gib:.1f} GiB of memory at once, and {free:.1f} GiB are free")
        _refuse_unwritten(data, f"{self.path}: {name}")
        taken: np.ndarray = data[start:end]
        return taken


def _refuse_unwritten(data: Any, name: str) -> None:
    """UserError for a data set of which a part was never written: it would read as zeros."""
    if data.chunks is None:
        parts, written = 1, int(data.id.get_storage_size() > 0)
    else:
        parts = math.prod(-(-size // chunk) for size, chunk in zip(data.shape, data.chunks, strict=True))
        written = data.id.get_num_chunks()
    if data.size and written < parts:
        raise UserError(
            f"{name}: {written} of its {parts} parts were written, as by a program that was stopped: make the file "
            "again, or delete this data set from it"
        )


@contextlib.contextmanager
def open_file(path: Path, memory: int) -> Iterator[Inside]:
    """The file, for reading alone; UserError without h5py, and for what cannot be read while it is open."""
    try:
        import h5py
    except ImportError as error:
        raise UserError("h5py is not installed: pip install '.[hdf5]'") from error
    try:
        with h5py.File(path, "r", locking=False) as file:  # network disks often have no locks
            yield Inside(file, path, memory)
    except _ERRORS as error:
        raise UserError(f"{path}: cannot be read ({one_line(error, 120)})") from error
