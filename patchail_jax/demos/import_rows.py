"""Rows of observations one after the other, as V-D4RL, Dreamer and AIME keep them: HDF5 shards, or npz files.

Each row has a picture with the action and the reward that led to it, and says whether an episode starts or ends there.
Where AIME has both, ``pre_action`` led to the picture, and ``action`` is taken behind it.
An episode may begin in one file and end in the next; without such marks a file is an episode.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.demos.listed_files import files_of, step, usual_step
from patchail_jax.demos.row_marks import Columns, marks, marks_episodes, refuse_ends_inside
from patchail_jax.errors import UserError
from patchail_jax.files import npz

_PICTURES, _ACTIONS, _REWARDS = ("observation", "image"), ("pre_action", "action"), ("reward",)
_NOT_READ = {"rewards": "reward", "actions": "action"}  # whose rows may lie a step earlier, and what would be read
_PARTS = ("pictures", "actions", "rewards")
_AXES = 4  # of pictures: rows, height, width and channels


def read_npz(paths: Sequence[Path], request: Request) -> Trajectories:
    """The episodes of npz files, and of folders of them, in the order of their numbers, read one at a time.

    Raises UserError for another form, see also ``Gathering.add``.
    """
    gathering = Gathering(request, "")
    files = files_of(paths, (".npz",))
    rows = EpisodeCutter(gathering, files)
    for path in files:
        if gathering.full:
            break
        gathering.source = str(path)
        archive = _Archive(path, request.memory)
        if not is_rows(archive):
            held = ", ".join(archive.arrays) or "nothing"
            raise UserError(
                f"{path}: has no 'observation' or 'image', but {held}: call its pictures 'image', their rewards "
                "'reward', and mark in 'is_first' where episodes start"
            )
        if not marks_episodes(archive):
            refuse_ends_inside(path, archive.arrays)
        rows.add(archive)
    rows.finish()
    gathering.source = ", ".join(map(str, paths))
    return gathering.finish(f"npz {', '.join(path.name for path in paths)}")


def is_rows(table: Columns) -> bool:
    """Whether the file has pictures in rows."""
    return any(name in table for name in _PICTURES)


class EpisodeCutter:
    """Cuts the rows of ``files``, which come one by one, into episodes and hands them to ``gathering``."""

    def __init__(self, gathering: Gathering, files: Sequence[Path]) -> None:
        self._gathering, self._usual = gathering, usual_step(files)
        self._before: tuple[Path, int] | None = None  # the last file, and its rows
        self._whole: dict[int, int] = {}  # pictures of the demonstrations that lie in one file
        self._joined: dict[int, int] = {}  # and of those that are put together from several
        self._over = False
        self._open: list[tuple[np.ndarray, np.ndarray | None, np.ndarray | None]] = []
        self._name, self._ended = "", False
        self._before_all = self._between = 0  # rows of no episode: before the first one, and behind it
        self._shifted: list[bool] = []

    def _refuse_gap(self, path: Path, count: int) -> None:
        """UserError where ``path`` of ``count`` rows does not follow the last file: files count up, or by rows."""
        assert self._before is not None
        before, rows = self._before
        if step(before, path) not in (None, 1, self._usual, rows, count):
            raise UserError(
                f"{path}: continues the episode of {self._name}, and its number does not follow that of "
                f"{before.name}: is a file missing? Convert what lies before it and behind it one by one"
            )

    def add(self, table: Columns) -> None:
        """The rows of the next file."""
        held = [name for name in _PICTURES if name in table]
        pictures = next((name for name in held if len(table.shape(name)) == _AXES), held[0])
        actions, rewards = (next((name for name in names if name in table), None) for names in (_ACTIONS, _REWARDS))
        self._note_choice(table, _PICTURES, pictures, "pictures")
        self._note_choice(table, _ACTIONS, actions, "actions")
        for name, read in _NOT_READ.items():
            if name in table:
                self._gathering.notes.setdefault(
                    f"{name} are not read: call them {read!r}, where each led to the picture of its row"
                )
        count = table.shape(pictures)[0]
        for column in (actions, rewards):
            if column is not None and table.shape(column)[0] != count:
                raise UserError(f"{table.path}: {column} has {table.shape(column)[0]} rows, and {pictures} has {count}")
        firsts, lasts, marked = marks(table, count)
        if not marked:
            self._close()
        elif self._open and 0 not in firsts:
            self._over = True
            self._refuse_gap(table.path, count)
        self._before = table.path, count
        cuts = sorted({0, count, *firsts, *(last + 1 for last in lasts)})
        for start, end in itertools.pairwise(cuts):
            if self._gathering.full:
                return
            if start in firsts:
                self._close()
                self._name = f"row {start} of {table.path.name}"
            elif not self._open:
                if self._name:
                    self._between += end - start
                else:
                    self._before_all += end - start
                continue
            self._open.append(
                (
                    table.take(pictures, start, end),
                    None if actions is None else table.take(actions, start, end),
                    None if rewards is None else table.take(rewards, start, end),
                )
            )
            if end - 1 in lasts:
                self._ended = True
                self._close()

    def finish(self) -> None:
        """After the last file. UserError where no episode starts in any."""
        self._close()
        if self._before_all and not self._name:
            raise UserError(
                f"{self._gathering.source}: no episode starts in it; its {self._before_all} rows continue an episode "
                "of another file: give the whole folder"
            )
        if self._before_all:
            self._gathering.notes.setdefault(
                f"{self._before_all} rows before the first step of any episode are left out: is a file missing?"
            )
        if self._between:
            self._gathering.notes.setdefault(
                f"{self._between} rows behind the last step of an episode and before the first of the next are left "
                "out: is a file missing, or is an end marked where the episode goes on?"
            )
        usual = set(self._whole.values())
        for number, length in self._joined.items():
            if len(usual) == 1 and length not in usual:
                self._gathering.notes.setdefault(
                    f"demonstration {number} is put together from several files and has {length} pictures, and all "
                    f"that lie in one file have {min(usual)}: is a file missing?"
                )
        if self._shifted and all(self._shifted):
            self._gathering.notes.setdefault(
                "the last rows of episodes have actions of zero and the first rows have not: is a row's action taken "
                "after its picture? It was read as the action that led to the picture"
            )

    def _note_choice(self, table: Columns, names: Sequence[str], taken: str | None, what: str) -> None:
        """Notes which column is taken where the file has several of ``names``."""
        if others := ", ".join(name for name in names if name in table and name != taken):
            self._gathering.notes.setdefault(f"{what} are those of {taken}, not of {others}")

    def _close(self) -> None:
        """The open episode is whole, or will not be."""
        if not self._open or self._gathering.full:
            return
        frames, actions, rewards = map(self._joined_part, zip(*self._open, strict=True), _PARTS)
        assert frames is not None
        ended, self._ended, self._open = self._ended, False, []
        over, self._over = self._over, False
        if len(frames) < 2:
            self._gathering.notes.setdefault(f"{self._name}: an episode of one picture, no step, is left out")
            return
        if ended:
            (self._joined if over else self._whole)[len(self._gathering.demonstrations)] = len(frames)
        else:
            self._gathering.leave_out("ends without a last step, so its return may lack rewards")
        if actions is not None and actions.ndim == 2 and actions.dtype.kind == "f":
            self._shifted.append(bool((np.nan_to_num(actions[0]) != 0).any() and (actions[-1] == 0).all()))
        actions, rewards = (None if part is None else part[1:] for part in (actions, rewards))
        self._gathering.add_arrays(frames, actions, rewards, name=self._name)

    def _joined_part(self, parts: Sequence[np.ndarray | None], what: str) -> np.ndarray | None:
        """One array of an episode's ``parts`` in several files; None where one has none."""
        held = [part for part in parts if part is not None]
        if len(held) < len(parts):
            return None
        kinds = [f"{kind}{list(shape)}" for kind, shape in {(part.dtype, part.shape[1:]): None for part in held}]
        if len(kinds) > 1:
            raise UserError(
                f"{self._gathering.source}: the episode of {self._name} goes on with {what} of {kinds[1]}, and began "
                f"with {kinds[0]}: convert files of one kind"
            )
        return np.concatenate(held)


class _Archive:
    """The arrays of an npz file, in memory."""

    def __init__(self, path: Path, memory: int) -> None:
        self.path = path
        with npz.reading(path, memory=memory, remedy="split the file, or give --memory if there is more") as archive:
            self.arrays: dict[str, Any] = {name: archive[name] for name in archive.files}

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an array; ``UserError`` for one of no axes."""
        if not getattr(self.arrays[name], "shape", ()):
            raise UserError(f"{self.path}: {name} must be an array of rows")
        return tuple(self.arrays[name].shape)

    def take(self, name: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """Rows ``start .. end-1``."""
        self.shape(name)
        taken: np.ndarray = self.arrays[name][start:end]
        return taken
