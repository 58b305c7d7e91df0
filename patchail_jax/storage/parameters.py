"""A run's parameters as they were now and then, a small file each: for looking back, never for going on.

There is no replay in them and nothing of the optimizers, and they lie apart from the checkpoints.
"""

import logging
from pathlib import Path
from typing import Any

import jax
import numpy as np

from patchail_jax.files import npz
from patchail_jax.storage.checkpoint_contents import fit, name_of, named
from patchail_jax.storage.checkpoint_damage import reason

_log = logging.getLogger(__name__)


def write_parameters(folder: Path, number: int, state: Any) -> None:
    """Writes ``state``, numpy arrays, but for its optimizers. What cannot be written costs a warning alone."""
    path = folder / f"{number}.npz"
    leaves = {name: leaf for name, leaf in named(state).items() if not _is_of_optimizer(name)}
    try:
        folder.mkdir(exist_ok=True)
        npz.write(path, leaves)
    except OSError as error:
        _log.warning("%s was not written (%s), and the run goes on", path, reason(error))


def kept_numbers(folder: Path) -> list[int]:
    """The numbers of the checkpoints whose parameters are in ``folder``."""
    return sorted(int(path.stem) for path in folder.glob("*.npz") if path.stem.isdecimal())


def read_parameters(folder: Path, number: int, template: Any) -> Any:
    """The state that was written as ``number`` in the form of ``template``, its optimizers' part 0.

    ``UserError``, one line, where the file cannot be read or does not fit.
    """
    with npz.reading(folder / f"{number}.npz") as stored:
        leaves = dict(stored)
    for place, leaf in jax.tree_util.tree_leaves_with_path(template):
        if _is_of_optimizer(name_of(place)):
            leaves[name_of(place)] = np.zeros(leaf.shape, leaf.dtype)
    return fit(leaves, template, number)


def _is_of_optimizer(name: str) -> bool:
    return any(part.endswith("optimizer") for part in name.split("."))
