"""What a checkpoint holds in the form it has on disk, and back: arrays by name, the rest as JSON, their checksums."""

import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from patchail_jax.errors import UserError
from patchail_jax.storage.checkpoint_damage import Damaged
from patchail_jax.types import Rows, slices

_SLICE = 2**24  # bytes read at a time
_CHANGED = "its contents changed since they were written"
_REPLAY = "replay."  # what the names of its arrays begin with


class Contents(NamedTuple):
    """Of one checkpoint: the learner's leaves, the host's arrays by dotted name, the host's rest.

    ``processes`` saved it together, 0 where it does not say; ``first`` tells whether it was the first one of its run.
    """

    step: int
    state: dict[str, Any]
    arrays: dict[str, Any]
    plain: dict[str, Any]
    processes: int
    first: bool


class Replay(Protocol):
    """What can hold the host's "replay"."""

    def state(self) -> dict[str, Any]:
        """What it holds now: the same arrays, numbers and names as it was loaded with."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Copies what ``state`` holds."""


def named(state: Any) -> dict[str, np.ndarray]:
    """A pytree as a flat dict of its leaves: the form on disk does not depend on container types."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {name_of(path): np.asarray(leaf) for path, leaf in leaves}


def fit(stored: dict[str, Any], template: Any, step: int) -> Any:
    """The stored leaves of checkpoint ``step`` in the template's form.

    ``UserError`` names a leaf that is missing, surplus, or of another shape or type: Orbax does not check numpy leaves.
    """
    paths, form = jax.tree_util.tree_flatten_with_path(template)
    names = [name_of(path) for path, _ in paths]
    for name in sorted(set(names) ^ set(stored)):
        where = "the checkpoint has no" if name in names else "this program has no"
        raise UserError(f"checkpoint {step} does not fit the config: {where} {name}")
    for name, (_, leaf) in zip(names, paths, strict=True):
        have, want = stored[name], leaf
        if have.shape != want.shape or have.dtype != want.dtype:
            raise UserError(
                f"checkpoint {step} does not fit the config: {name} is {have.dtype}{list(have.shape)}, "
                f"not {want.dtype}{list(want.shape)}"
            )
    return jax.tree_util.tree_unflatten(form, [np.asarray(stored[name]) for name in names])


def split(host: dict[str, Any]) -> tuple[dict[str, np.ndarray | Rows], dict[str, Any]]:
    """The host's nested dict: its arrays by dotted name, and the rest as a nested dict that JSON keeps exactly."""
    flat = flatten_dict(host, keep_empty_nodes=True)
    arrays = {".".join(path): value for path, value in flat.items() if isinstance(value, np.ndarray | Rows)}
    references = {
        path: {"__array__": ".".join(path)} if isinstance(value, np.ndarray | Rows) else value
        for path, value in flat.items()
    }
    return arrays, unflatten_dict(references)


def merge(arrays: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """The inverse of ``split``."""
    flat = flatten_dict(plain, keep_empty_nodes=True, is_leaf=lambda path, value: "__array__" in value)
    host = {path: arrays[value["__array__"]] if isinstance(value, dict) else value for path, value in flat.items()}
    return dict(unflatten_dict(host))


def checksums(leaves: dict[str, Any], arrays: dict[str, Any], plain: Any) -> dict[str, Any]:
    """CRC-32 of every array and of the rest: Orbax reads a flipped bit without an error."""

    def checksum(array: Any) -> int:
        value = 0
        for _, part in slices(array, nbytes=_SLICE):
            value = zlib.crc32(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data, value)
        return value

    return {
        "state": {name: checksum(leaf) for name, leaf in leaves.items()},
        "arrays": {name: checksum(array) for name, array in arrays.items()},
        "plain": zlib.crc32(json.dumps(plain, sort_keys=True).encode()),
    }


def verified(step: int, restored: Mapping[str, Any], *, arrays: bool, replay: Replay | None) -> Contents:
    """Checkpoint ``step`` as it was ``restored``, whole by its checksums; ``Damaged`` where it is not.

    The host's part is left out where its ``arrays`` were not read. ``replay`` takes its share when all that is in
    memory has been found whole, the table of episodes with it; then what it holds is compared.
    """
    try:
        plain, stored = restored["plain"]["host"], restored["plain"]["checksums"]
        told = restored["plain"]
        first_of = int(told.get("first_of", 0))  # all that older versions wrote: of how many processes, if the first
        processes, first = int(told.get("processes", first_of)), bool(first_of)
        held = restored["arrays"] if arrays else {}
        # Replay alone is taken slice by slice. All else is small, but for a long episode that was open.
        held = {name: array if name.startswith(_REPLAY) else np.asarray(array) for name, array in held.items()}
        contents = Contents(step, restored["state"], held, plain, processes, first)
        small = {name: array for name, array in contents.arrays.items() if not isinstance(array, Rows)}
        read = checksums(contents.state, small, plain)
        same = read["state"] == stored["state"]
        if arrays:
            same = same and read["plain"] == stored["plain"] and contents.arrays.keys() == stored["arrays"].keys()
            same = same and read["arrays"].items() <= stored["arrays"].items()
    except (KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"no {error} in it") from error
    if not same:
        raise Damaged(_CHANGED)
    if replay is not None:
        replay.load_state(merge(contents.arrays, plain)["replay"])
        taken, _ = split({"replay": replay.state()})
        large = {name: taken.get(name, array) for name, array in contents.arrays.items() if name not in small}
        if not checksums({}, large, None)["arrays"].items() <= stored["arrays"].items():
            raise Damaged(_CHANGED)
    return contents


def name_of(path: Any) -> str:
    """The dotted name of a leaf of a pytree."""
    return jax.tree_util.keystr(path, simple=True, separator=".")
