"""Whole checkpoints, by Orbax: written to a temporary name, renamed when complete."""

import gc
import logging
import shutil
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from patchail_jax.errors import Unavailable, UserError, one_line
from patchail_jax.storage.checkpoint_agreement import LOST, NONE, UNREADABLE, Gather, alone, smallest, steps_of_all
from patchail_jax.storage.checkpoint_arrays import ArraySave
from patchail_jax.storage.checkpoint_contents import Contents, Replay, checksums, fit, merge, named, split
from patchail_jax.storage.checkpoint_damage import Damaged, read_or_prove_damage, reason, refused_by_disk, unreadable
from patchail_jax.storage.checkpoint_reading import item_handlers, one_process, read_checkpoint
from patchail_jax.storage.run_names import DAMAGED, UNSHARED

_log = logging.getLogger(__name__)

_NEWEST = 2**31 - 1
_AGAIN = "evaluation."  # arrays of what a resume makes again: with them or without, it resumes at the same step


class Checkpoints:
    """The newest ``keep`` checkpoints of one of a run's ``processes``: the learner's state, and everything the host
    needs to go on.
    """

    def __init__(self, folder: Path, *, keep: int, processes: int = 1) -> None:
        if keep < 1:
            raise UserError(f"config.checkpoint.keep is {keep}; at least one checkpoint must be kept")
        self._folder, self._keep, self._processes = folder.absolute(), keep, processes
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._manager = self._open()
        except OSError as error:
            raise UserError(f"{self._folder} cannot be opened ({reason(error)}); nothing was changed") from error

    def save(self, step: int, *, state: Any, host: dict[str, Any]) -> bool:
        """Writes ``state`` (a pytree of arrays) and ``host`` (nested dicts of arrays, numbers, strings and lists).

        Returns whether it is on disk. What a full or failing disk does not take is a warning, and older checkpoints
        stay. A step that is there already, as after a stop right after a restart, is not written again; ``UserError``
        where what is there is not what would be written.
        """
        leaves, (arrays, plain) = named(state), split(host)
        sums = checksums(leaves, arrays, plain)
        steps = self._manager.all_steps()
        if step in steps:
            self._require_same(step, sums)
            return True
        saved_by = {"processes": self._processes, "first_of": 0 if steps else self._processes}
        try:
            return bool(
                self._manager.save(
                    step,
                    args=ocp.args.Composite(
                        state=ArraySave(leaves),
                        arrays=ArraySave(arrays),
                        plain=ocp.args.JsonSave({"host": plain, "checksums": sums, **saved_by}),
                    ),
                    force=True,
                )
            )
        except Exception as error:
            if isinstance(error, OSError) and (self._folder / str(step)).exists():
                self._reload()
                _log.warning("checkpoint %d is written, and an older one cannot be removed (%s)", step, one_line(error))
                return True
            if not (refusal := refused_by_disk(error)):
                raise
            for unfinished in self._folder.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            self._reload()
            text = "checkpoint %d was not written (%s): older ones are kept. Free some space, or check the disk"
            _log.warning(text, step, refusal)
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            gc.collect()  # what Orbax had begun and never awaited, which Python would say at the program's end
        return False

    def _require_same(self, step: int, sums: dict[str, Any]) -> None:
        """``UserError`` unless checkpoint ``step`` has these arrays; the rest has the hours of the run, which go on."""
        folder = self._folder / str(step)
        try:
            stored = self._manager.restore(step, args=ocp.args.Composite(plain=ocp.args.JsonRestore()))
            there = stored["plain"]["checksums"]
            same = there["state"] == sums["state"] and _lasting(there["arrays"]) == _lasting(sums["arrays"])
        except Exception as error:
            raise unreadable(folder, error) from error
        if not same:
            raise UserError(f"{folder} already exists with other content: it was left alone, and nothing was saved")

    def discard(self, step: int, reason: str) -> None:
        """Removes checkpoint ``step``, with a warning that says why; another if it cannot be removed."""
        _log.warning("checkpoint %d is removed: %s", step, reason)
        try:
            self._manager.delete(step)
        except OSError as error:
            _log.warning("checkpoint %d cannot be removed (%s)", step, one_line(error))

    def restore(
        self, template: Any, *, replay: Replay | None = None, gather: Gather = alone
    ) -> tuple[Any, dict[str, Any], int] | None:
        """The newest checkpoint: state, host and its step. None where the run is to ``begin_anew``.

        ``replay`` takes over the host's "replay" slice by slice, and what it then holds is checked; the host that is
        returned is without it. It may be loaded more than once, and is to be trusted when a checkpoint is returned.

        One that is damaged is set aside with a warning, and the one before it is used. ``gather`` gives the numbers
        that the processes of a run have: all resume at the same step, and begin anew where none ever had a checkpoint,
        or where one was killed in its first save. Nothing is changed before that step is known and fits. Raises
        ``UserError``, one line, where a checkpoint cannot be read for another reason, where there were checkpoints and
        none can be used, and for a leaf that does not fit ``template``.
        """
        newest, damaged = _NEWEST, set[int]()
        while True:
            found, problem = None, None
            try:
                found = self._newest_whole(newest, damaged, replay)
                own = found.step if found else LOST if self._had_some() else NONE
            except UserError as error:
                own, problem = UNREADABLE, error
            common = smallest(gather, own)
            if common == UNREADABLE:
                raise problem or Unavailable("another process of this run cannot read its checkpoint: nothing changed")
            everywhere = smallest(gather, int(own == common)) == 1
            if common == NONE and not everywhere and smallest(gather, int(self._is_first(found, damaged))) == 1:
                return None
            if common == LOST or (common == NONE and not everywhere):
                raise self._lost(gather)
            if everywhere:
                break
            newest = common
        if found is None:
            return None
        if found.processes not in (0, self._processes):
            raise UserError(
                f"{self._folder} is of a run of {found.processes} processes, each with a part of replay, and this "
                f"start has {self._processes}: start as many (config.hosts), or choose another config.run_folder"
            )
        state, host = fit(found.state, template, found.step), merge(found.arrays, found.plain)
        if replay is not None:
            del host["replay"]
        try:
            for step in sorted(damaged):
                self._set_aside(step)
            for step in self._manager.all_steps():
                if step > common:  # another process does not have it: the run comes to it again
                    self._manager.delete(step)
        except OSError as error:
            raise UserError(f"{self._folder} cannot be changed ({reason(error)})") from error
        return state, host, common

    def begin_anew(self) -> None:
        """Puts the first checkpoint aside, if this process has it and another was killed while it saved its own."""
        for step in self._manager.all_steps():
            aside = f"{UNSHARED}{step}"
            text = "checkpoint %d is the first, and another process has none yet: the run begins anew, and %s is kept"
            _log.warning(text, step, aside)
            try:
                self._move(step, aside)
            except OSError as error:
                raise UserError(f"{self._folder} cannot be changed ({reason(error)})") from error

    def close(self) -> None:
        """Ends Orbax's threads."""
        self._manager.close()

    def _newest_whole(self, newest: int, damaged: set[int], replay: Replay | None) -> Contents | None:
        """The newest checkpoint up to step ``newest`` that is whole; those that are not are added to ``damaged``."""
        for step in sorted(self._manager.all_steps(), reverse=True):
            if step > newest or step in damaged:
                continue
            try:
                read = partial(read_checkpoint, self._manager, step, replay=replay)
                return read_or_prove_damage(read, self._folder / str(step))
            except Damaged as error:
                _log.warning("checkpoint %d is damaged (%s): trying the one before", step, error)
                damaged.add(step)
        return None

    def _had_some(self) -> bool:
        try:
            here = any(path.name.isdecimal() for path in self._folder.iterdir())
            return here or any(path.name.startswith(DAMAGED) for path in self._folder.parent.iterdir())
        except OSError as error:
            raise unreadable(self._folder, error) from error

    def _is_first(self, found: Contents | None, damaged: set[int]) -> bool:
        """Whether this process has no more than the checkpoint in whose save another was killed."""
        steps = self._manager.all_steps()
        return not damaged and (
            not steps or (len(steps) == 1 and found is not None and found.first and found.processes == self._processes)
        )

    def _lost(self, gather: Gather) -> UserError:
        """The refusal to begin anew, which all processes come to together."""
        each = steps_of_all(gather, self._manager.all_steps())
        return UserError(
            f"{self._folder} has no checkpoint left that every process of this run can use{each}; nothing was "
            "changed. Put back a copy; or start anew: set config.run_folder, or move checkpoints and "
            f"{DAMAGED}* out of this folder"
        )

    def _set_aside(self, step: int) -> None:
        """A damaged checkpoint would be in the way when the run comes to its step again."""
        self._move(step, f"{DAMAGED}{step}")

    def _move(self, step: int, name: str) -> None:
        """Renames checkpoint ``step``, if it is there, to ``name`` in the run folder, over an older one."""
        folder, aside = self._folder / str(step), self._folder.parent / name
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
        self._reload()

    def _reload(self) -> None:
        self._manager.close()
        self._manager = self._open()

    def _open(self) -> ocp.CheckpointManager:
        # Every process of a run keeps its own checkpoints: Orbax must not wait for the others.
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep,
            create=jax.process_count() == 1,  # Orbax makes no folder for a part of the processes
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
            multiprocessing_options=one_process(),
        )
        return ocp.CheckpointManager(self._folder, options=options, item_handlers=item_handlers())


def _lasting(sums: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in sums.items() if not name.startswith(_AGAIN)}
