"""Numpy arrays in a checkpoint, by TensorStore.

Orbax's own handlers write numpy arrays on the first process of a run alone; here every process has checkpoints of its
own, so each writes what it is given. Arrays are compressed and in one OCDBT database, as Orbax has them.

Large arrays are written and read in slices, so that neither takes the memory of another copy.
"""

from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from patchail_jax.types import Rows, slices

_CHUNK = 2**22  # elements
# Bytes given to TensorStore at a time and not yet on disk. Each of their slices becomes about one file: a large replay
# has larger ones, lest there be thousands.
_LEAST, _MOST = 2**24, 2**26
_SLICES = 4  # in these bytes: while one is written, others are compressed


class ArrayHandler(ocp.CheckpointHandler):
    """A flat dict of numpy arrays."""

    def save(self, directory: Path, args: "ArraySave") -> None:
        """Writes them all before it returns."""
        database = _database(directory)
        at_once = _at_once(args.item.values())
        waiting: deque[tuple[int, Any]] = deque()
        for name, value in args.item.items():
            array = value if isinstance(value, Rows) else np.asarray(value)
            store = ts.open(
                {"driver": "zarr", "kvstore": {**database, "path": f"{name}/"}},
                create=True,
                dtype=array.dtype,
                shape=array.shape,
                chunk_layout=ts.ChunkLayout(chunk_elements=_CHUNK),
            ).result()
            for index, part in slices(array, nbytes=at_once // _SLICES, block=_rows_of_chunk(store)):
                while waiting and sum(size for size, _ in waiting) + part.nbytes > at_once:
                    waiting.popleft()[1].result()
                # Nobody changes the source before the last write is done.
                waiting.append((part.nbytes, store[index].write(part, can_reference_source_data_indefinitely=True)))
        for _, write in waiting:
            write.result()

    def restore(self, directory: Path, args: "ArrayRestore | None" = None) -> dict[str, Any]:
        """Reads them all; large ones are ``Rows``, read when they are asked for, where ``args`` says so."""
        database, metadata = _database(directory), "/.zarray"
        keys = (key.decode() for key in ts.KvStore.open(database).result().list().result())
        names = [key.removesuffix(metadata) for key in keys if key.endswith(metadata)]
        stores = [ts.open({"driver": "zarr", "kvstore": {**database, "path": f"{name}/"}}).result() for name in names]
        if args is not None and args.in_slices:
            return {name: _rows(store) for name, store in zip(names, stores, strict=True)}
        reads = [store.read() for store in stores]
        return {name: read.result() for name, read in zip(names, reads, strict=True)}


@ocp.args.register_with_handler(ArrayHandler, for_save=True)
class ArraySave(ocp.args.CheckpointArgs):
    """``item`` is the dict of arrays."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item


@ocp.args.register_with_handler(ArrayHandler, for_restore=True)
class ArrayRestore(ocp.args.CheckpointArgs):
    """``in_slices``: large arrays are not read yet."""

    def __init__(self, *, in_slices: bool = False) -> None:
        self.in_slices = in_slices


def _at_once(arrays: Iterable[Any]) -> int:
    largest = max((array.nbytes for array in arrays), default=0)
    return min(max(largest // 64, _LEAST), _MOST)


def _rows_of_chunk(store: ts.TensorStore) -> int:
    shape = store.chunk_layout.write_chunk.shape
    return int(shape[0] or 1) if shape else 1


def _rows(store: ts.TensorStore) -> Any:
    """What ``store`` holds: an array where it is small, else ``Rows``."""
    if store.size * store.dtype.numpy_dtype.itemsize <= _LEAST:
        return store.read().result()

    def read(start: int, stop: int) -> np.ndarray:
        return np.asarray(store[start:stop].read().result())

    return Rows(store.shape, store.dtype.numpy_dtype, read, block=_rows_of_chunk(store))


def _database(directory: Path) -> dict[str, str]:
    return {"driver": "ocdbt", "base": f"file://{directory.as_posix()}/"}
