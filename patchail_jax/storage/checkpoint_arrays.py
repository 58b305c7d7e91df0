"""Numpy arrays in a checkpoint, by TensorStore.

Orbax's own handlers write numpy arrays on the first process of a run alone; here every process has checkpoints of its
own, so each writes what it is given. Arrays are compressed and in one OCDBT database, as Orbax has them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

_CHUNK = 2**22  # elements


class ArrayHandler(ocp.CheckpointHandler):
    """A flat dict of numpy arrays."""

    def save(self, directory: Path, args: "ArraySave") -> None:
        """Writes them all before it returns."""
        database = _database(directory)
        writes = []
        for name, value in args.item.items():
            array = np.asarray(value)
            store = ts.open(
                {"driver": "zarr", "kvstore": {**database, "path": f"{name}/"}},
                create=True,
                dtype=array.dtype,
                shape=array.shape,
                chunk_layout=ts.ChunkLayout(chunk_elements=_CHUNK),
            ).result()
            writes.append(store.write(array, can_reference_source_data_indefinitely=True))
        for write in writes:
            write.result()

    def restore(self, directory: Path, args: "ArrayRestore | None" = None) -> dict[str, np.ndarray]:
        """Reads them all."""
        database, metadata = _database(directory), "/.zarray"
        keys = (key.decode() for key in ts.KvStore.open(database).result().list().result())
        names = [key.removesuffix(metadata) for key in keys if key.endswith(metadata)]
        stores = [ts.open({"driver": "zarr", "kvstore": {**database, "path": f"{name}/"}}).result() for name in names]
        reads = [store.read() for store in stores]
        return {name: read.result() for name, read in zip(names, reads, strict=True)}


@ocp.args.register_with_handler(ArrayHandler, for_save=True)
class ArraySave(ocp.args.CheckpointArgs):
    """``item`` is the dict of arrays."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item


@ocp.args.register_with_handler(ArrayHandler, for_restore=True)
class ArrayRestore(ocp.args.CheckpointArgs):
    """Nothing to say."""


def _database(directory: Path) -> dict[str, str]:
    return {"driver": "ocdbt", "base": f"file://{directory.as_posix()}/"}
