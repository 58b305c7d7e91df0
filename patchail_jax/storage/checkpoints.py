"""Whole checkpoints, by Orbax: written to a temporary name, renamed when complete."""

import contextlib
import errno
import json
import logging
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from patchail_jax.errors import UserError
from patchail_jax.storage.checkpoint_arrays import ArrayHandler, ArrayRestore, ArraySave
from patchail_jax.storage.host_tree import join, split

_log = logging.getLogger(__name__)

_NEWEST = 2**31 - 1
_NONE = -1  # the step of a process without a checkpoint


class Checkpoints:
    """The newest ``keep`` checkpoints of a run: the learner's state, and everything the host needs to go on."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        if keep < 1:
            raise UserError(f"config.checkpoint.keep is {keep}; at least one checkpoint must be kept")
        self._folder = folder.absolute()
        self._keep = keep
        self._folder.mkdir(parents=True, exist_ok=True)
        self._manager = self._open()

    def save(self, step: int, *, state: Any, host: dict[str, Any]) -> bool:
        """Writes ``state`` (a pytree of arrays) and ``host`` (nested dicts of arrays, numbers, strings and lists).

        Returns whether it is on disk. A full disk is a warning: older checkpoints stay, and the run goes on. A step
        that is there already, as after a stop right after a restart, is not written again.
        """
        if step in self._manager.all_steps():
            return True
        leaves = _named(state)
        arrays, plain = split(host)
        checksums = _checksums(leaves, arrays, plain)
        try:
            return bool(
                self._manager.save(
                    step,
                    args=ocp.args.Composite(
                        state=ArraySave(leaves),
                        arrays=ArraySave(arrays),
                        plain=ocp.args.JsonSave({"host": plain, "checksums": checksums}),
                    ),
                    force=True,
                )
            )
        except Exception as error:
            if not _is_full_disk(error):
                raise
            for unfinished in self._folder.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            self._reload()
            _log.warning("the disk is full: checkpoint %d was not written, older ones are kept. Free some space", step)
            return False

    def restore(self, template: Any, *, agree: Callable[[int], int] = int) -> tuple[Any, dict[str, Any], int] | None:
        """The newest checkpoint that can be read: state, host and its step; None when there is none.

        One that is damaged is passed over with a warning. ``agree`` gives the smallest of the steps that the processes
        of a run have read: all go on from the same one. ``UserError`` names a leaf that does not fit ``template``.
        """
        newest = _NEWEST
        while True:
            restored = self._restore(template, newest)
            own = restored[2] if restored is not None else _NONE
            common = agree(own)
            everywhere = agree(int(own == common)) == 1
            if everywhere:
                break
            newest = common
        if restored is not None:
            for step in self._manager.all_steps():
                if step > common:  # another process does not have it: the run comes to it again
                    self._manager.delete(step)
        return restored

    def _restore(self, template: Any, newest: int) -> tuple[Any, dict[str, Any], int] | None:
        for step in sorted((step for step in self._manager.all_steps() if step <= newest), reverse=True):
            try:
                restored = self._manager.restore(
                    step,
                    args=ocp.args.Composite(
                        state=ArrayRestore(),
                        arrays=ArrayRestore(),
                        plain=ocp.args.JsonRestore(),
                    ),
                )
                stored, plain = restored["state"], restored["plain"]["host"]
                arrays = restored["arrays"]
                if _checksums(stored, arrays, plain) != restored["plain"]["checksums"]:
                    raise ValueError("contents changed since they were written")
            except Exception as error:
                _log.warning("checkpoint %d is damaged (%s): trying the one before", step, type(error).__name__)
                self._set_aside(step)
                continue
            return _fit(stored, template, step), join(arrays, plain), step
        return None

    def close(self) -> None:
        """Ends Orbax's threads."""
        self._manager.close()

    def _set_aside(self, step: int) -> None:
        """A damaged checkpoint would be in the way when the run comes to its step again."""
        folder = self._folder / str(step)
        if folder.exists():
            aside = self._folder.parent / f"damaged_checkpoint_{step}"
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        self._reload()

    def _reload(self) -> None:
        self._manager.close()
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        # Every process of a run keeps its own checkpoints: Orbax must not wait for the others.
        process, processes = jax.process_index(), jax.process_count()
        alone = ocp.options.MultiprocessingOptions()
        if processes > 1:
            alone = ocp.options.MultiprocessingOptions(
                primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"process_{process}"
            )
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep,
            create=processes == 1,  # Orbax makes no folder for a part of the processes
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
            multiprocessing_options=alone,
        )
        plain = ocp.JsonCheckpointHandler(multiprocessing_options=alone)
        handlers = {"state": ArrayHandler(), "arrays": ArrayHandler(), "plain": plain}
        return ocp.CheckpointManager(self._folder, options=options, item_handlers=handlers)


def read_state(folder: Path, template: Any, *, step: int | None = None) -> tuple[Any, int]:
    """The learner's state alone, for looking at a run, also while it goes on: nothing is changed, no replay is read.

    ``template`` is a pytree of arrays or shapes; ``step`` is the checkpoint's number, None the newest that is whole.
    Returns the state and its step; ``UserError`` where there is none, or a leaf does not fit.
    """
    folder = folder.absolute()
    steps = ocp.utils.checkpoint_steps(folder) if folder.is_dir() else []
    if not steps:
        raise UserError(f"there is no checkpoint in {folder}")
    if step is not None and step not in steps:
        raise UserError(f"there is no checkpoint {step} in {folder}; there are {', '.join(map(str, sorted(steps)))}")
    for candidate in [step] if step is not None else sorted(steps, reverse=True):
        with _reading(folder) as manager:
            parts = ocp.args.Composite(state=ArrayRestore(), plain=ocp.args.JsonRestore())
            try:
                restored = manager.restore(candidate, args=parts)
                stored = restored["state"]
                if _checksums(stored, {}, {})["state"] != restored["plain"]["checksums"]["state"]:
                    raise ValueError("contents changed since they were written")
            except Exception as error:
                _log.warning("checkpoint %d cannot be read (%s)", candidate, type(error).__name__)
                continue
        return _fit(stored, template, candidate), candidate
    raise UserError(f"no checkpoint in {folder} can be read")


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


def _named(state: Any) -> dict[str, np.ndarray]:
    """A pytree as a flat dict of its leaves: the form on disk does not depend on container types."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {_key(path): np.asarray(leaf) for path, leaf in leaves}


def _key(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _fit(stored: dict[str, Any], template: Any, step: int) -> Any:
    """The stored leaves in the template's form; Orbax itself does not check the shapes of numpy leaves."""
    paths, form = jax.tree_util.tree_flatten_with_path(template)
    names = [_key(path) for path, _ in paths]
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


def _checksums(leaves: dict[str, Any], arrays: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """CRC-32 of every array and of the rest: Orbax reads a flipped bit without an error."""

    def checksum(array: Any) -> int:
        return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    return {
        "state": {name: checksum(leaf) for name, leaf in leaves.items()},
        "arrays": {name: checksum(array) for name, array in arrays.items()},
        "plain": zlib.crc32(json.dumps(plain, sort_keys=True).encode()),
    }


def _is_full_disk(error: BaseException | None) -> bool:
    """Whether ``error``, or what it was raised from, says that there is no space left."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error) or "RESOURCE_EXHAUSTED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
