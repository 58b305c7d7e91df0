"""Checkpoints read: a whole one, or the learner's state alone of a run that may be going on."""

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp

from patchail_jax.errors import UserError
from patchail_jax.storage.checkpoint_arrays import ArrayRestore
from patchail_jax.storage.checkpoint_contents import Contents, Replay, fit, verified
from patchail_jax.storage.checkpoint_damage import Damaged, read_or_prove_damage, reason

_log = logging.getLogger(__name__)


def read_checkpoint(
    manager: ocp.CheckpointManager, step: int, *, arrays: bool = True, replay: Replay | None = None
) -> Contents:
    """Checkpoint ``step``, with the host's ``arrays`` or without, ``replay`` loaded; ``Damaged`` by its checksums."""
    items = {"arrays": ArrayRestore(in_slices=replay is not None)} if arrays else {}
    parts = ocp.args.Composite(state=ArrayRestore(), plain=ocp.args.JsonRestore(), **items)
    restored = manager.restore(step, args=parts)
    return verified(step, restored, arrays=arrays, replay=replay)


def read_state(folder: Path, template: Any, *, step: int | None = None) -> tuple[Any, int]:
    """The learner's state alone, for looking at a run, also while it goes on: nothing is changed, no replay is read.

    ``template`` is a pytree of arrays or shapes; ``step`` is the checkpoint's number, None the newest that is whole.
    Returns the state and its step. Raises ``UserError``, one line, where there is none, where a file cannot be read,
    and for a leaf that does not fit.
    """
    folder = folder.absolute()
    try:
        steps = ocp.utils.checkpoint_steps(folder) if folder.is_dir() else []
        if not steps:
            raise UserError(f"there is no checkpoint in {folder}")
        if step is not None and step not in steps:
            raise UserError(f"there is no checkpoint {step} in {folder}; there are {str(sorted(steps))[1:-1]}")
        for candidate in [step] if step is not None else sorted(steps, reverse=True):
            try:
                with _reading(folder) as manager:
                    read = partial(read_checkpoint, manager, candidate, arrays=False)
                    found = read_or_prove_damage(read, folder / str(candidate))
            except Damaged as error:
                _log.warning("checkpoint %d is damaged (%s)", candidate, error)
            else:
                return fit(found.state, template, candidate), candidate
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({reason(error)})") from error
    raise UserError(f"every checkpoint in {folder} is damaged")


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[ocp.CheckpointManager]:
    """Orbax's manager of a folder that stays as it is, without its warnings that it only reads."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(read_only=True)) as manager:
            yield manager
    finally:
        absl.setLevel(level)
