"""Checkpoints read: a whole one, or the learner's state alone of a run that may be going on."""

import contextlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from patchail_jax.errors import Unavailable, UserError
from patchail_jax.storage.checkpoint_arrays import ArrayHandler, ArrayRestore
from patchail_jax.storage.checkpoint_contents import Contents, Replay, fit, verified
from patchail_jax.storage.checkpoint_damage import Damaged, read_or_prove_damage, reason

_log = logging.getLogger(__name__)


def one_process() -> ocp.options.MultiprocessingOptions:
    """For Orbax: this process reads and writes by itself, and waits for no other of the run."""
    process = jax.process_index()
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
    )


def item_handlers() -> dict[str, ocp.CheckpointHandler]:
    """Of a checkpoint's parts."""
    plain = ocp.JsonCheckpointHandler(multiprocessing_options=one_process())
    return {"state": ArrayHandler(), "arrays": ArrayHandler(), "plain": plain}


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
    tried = set[int]()
    try:
        steps = _steps(folder)
        if not steps:
            raise UserError(f"there is no checkpoint in {folder}: train first, or choose another run")
        if step is not None and step not in steps:
            raise UserError(f"there is no checkpoint {step} in {folder}; there are {str(sorted(steps))[1:-1]}")
        while left := ({step} if step is not None else _steps(folder)) - tried:  # a run that goes on replaces them
            candidate = max(left)
            tried.add(candidate)
            try:
                with _reading(folder) as manager:
                    read = partial(read_checkpoint, manager, candidate, arrays=False)
                    found = read_or_prove_damage(read, folder / str(candidate))
            except Damaged as error:
                if candidate in _steps(folder):
                    _log.warning("checkpoint %d is damaged (%s)", candidate, error)
            else:
                return fit(found.state, template, candidate), candidate
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({reason(error)})") from error
    if tried.isdisjoint(_steps(folder)):
        raise Unavailable(f"the checkpoints in {folder} are replaced while they are read: try again")
    raise UserError(f"every checkpoint in {folder} is damaged: put a copy back, or choose another run")


def _steps(folder: Path) -> set[int]:
    return set(ocp.utils.checkpoint_steps(folder)) if folder.is_dir() else set()


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[ocp.CheckpointManager]:
    """Orbax's manager of a folder that stays as it is, without its warnings that it only reads."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        options = ocp.CheckpointManagerOptions(
            read_only=True, create=jax.process_count() == 1, multiprocessing_options=one_process()
        )
        with ocp.CheckpointManager(folder, options=options, item_handlers=item_handlers()) as manager:
            yield manager
    finally:
        absl.setLevel(level)
