"""The on-disk form of demonstrations: physics states in one ``.npz`` file, read and written with every check.

A file holds states and not pixels, so that one small file serves every image size, camera and render quality;
``render`` makes the pictures. ``shipped/README.md`` describes the seven files that come with the package.
"""

import contextlib
import importlib.resources
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from patchail_jax.errors import UserError

_DTYPES = {"states": np.dtype(np.float64), "actions": np.dtype(np.float32), "rewards": np.dtype(np.float32)}
_AXES = {"states": "[D,T+1,X]", "actions": "[D,T,A]", "rewards": "[D,T]"}
# What numpy and zipfile raise on damaged archives (found by flipping bytes); NotImplementedError is a RuntimeError.
_READ_ERRORS = (OSError, EOFError, ValueError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error)


class Trajectories(NamedTuple):
    """D demonstrations of T agent steps each.

    ``states [D,T+1,X] float64`` (``physics.get_state()``, X = nq+nv+na), ``actions [D,T,A] float32`` in [-1, 1] or
    None, ``rewards [D,T] float32`` (the task's own, summed over the action repeat) or None. ``metadata`` has at least
    ``task`` (str) and ``action_repeat`` (frames a step).
    """

    states: np.ndarray
    actions: np.ndarray | None
    rewards: np.ndarray | None
    metadata: dict[str, Any]


def load(path: str | Path, *, expected_task: str | None = None, action_repeat: int | None = None) -> Trajectories:
    """The demonstrations in the file, as they stand there (``subsample`` brings them to another action repeat).

    Raises UserError, one line that names the file, for anything but a whole and sound file; also when its task is not
    ``expected_task``, or when ``action_repeat`` is not a multiple of the file's.
    """
    path = Path(path).expanduser()
    trajectories = _read(path)
    _check(trajectories, name=str(path))
    task, repeat = trajectories.metadata["task"], trajectories.metadata["action_repeat"]
    if expected_task is not None and task != expected_task:
        raise UserError(f"{path}: holds demonstrations of {task!r}, not of {expected_task!r}: give that task's file")
    if action_repeat is not None:
        _stride(repeat, action_repeat, steps=trajectories.states.shape[1] - 1, name=str(path))
    return trajectories


def save(path: str | Path, trajectories: Trajectories) -> None:
    """Writes the file whole or not at all; what ``load`` would refuse is refused here, before anything is written.

    Raises UserError for unsound trajectories and when the file cannot be written.
    """
    path = Path(path).expanduser()
    _check(trajectories, name=str(path))
    arrays = {key: getattr(trajectories, key) for key in _DTYPES if getattr(trajectories, key) is not None}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, unfinished.open("wb") as stream:
            np.savez_compressed(stream, metadata=np.array(json.dumps(trajectories.metadata)), **arrays)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({_one_line(error)})") from error


def shipped(task: str) -> Path:
    """The file of ten demonstrations that comes with the package; UserError, listing those tasks, if there is none."""
    folder = Path(str(importlib.resources.files(__package__))) / "shipped"
    tasks = sorted(file.stem for file in folder.glob("*.npz"))
    if task not in tasks:
        raise UserError(f"no demonstrations of {task!r} are shipped (only {', '.join(tasks)}): give a file's path")
    return folder / f"{task}.npz"


def subsample(trajectories: Trajectories, action_repeat: int) -> Trajectories:
    """The same demonstrations seen every ``action_repeat`` frames: every k-th state, k = wanted / recorded repeat.

    For k > 1 the actions become None (k actions of the expert are not one of the agent) and rewards are summed over
    k steps. A remainder of T / k steps at the end is dropped, so that all pairs are equally far apart in time.
    Raises UserError if the wanted action repeat is not a multiple of the recorded one, or T < k.
    """
    metadata, steps = trajectories.metadata, trajectories.states.shape[1] - 1
    k = _stride(metadata["action_repeat"], action_repeat, steps=steps, name=f"demonstrations of {metadata['task']}")
    if k == 1:
        return trajectories
    kept, rewards = steps // k, trajectories.rewards
    if rewards is not None:
        rewards = rewards[:, : kept * k].reshape(len(rewards), kept, k).sum(axis=2)
    states = trajectories.states[:, : kept * k + 1 : k]
    return Trajectories(states, None, rewards, {**metadata, "action_repeat": action_repeat})


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` when the block ends well and goes away when not."""
    # Not tempfile: its files are readable by their owner only, and demonstrations and caches are often shared.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        with unfinished.open("rb+") as stream:
            os.fsync(stream.fileno())  # or a power cut after the rename leaves a file of zeros under the final name
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _read(path: Path) -> Trajectories:
    if not path.is_file():
        raise UserError(f"{path}: no such file of demonstrations")
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path}: not a whole .npz file (cut short, or of another kind): copy or record it again")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in (*_DTYPES, "metadata") if key in archive.files}
    except _READ_ERRORS as error:
        raise UserError(f"{path}: cannot be read ({_one_line(error)}): copy or record it again") from error
    for key in ("states", "metadata"):
        if key not in arrays:
            raise UserError(f"{path}: has no array {key!r}: see demos/shipped/README.md for the form")
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise UserError(f"{path}: {key!r} is not a numpy array: see demos/shipped/README.md for the form")
    text = arrays["metadata"]
    try:
        if text.shape != () or text.dtype.kind != "U":
            raise ValueError("not one string")
        metadata = json.loads(text.item())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: 'metadata' must be one JSON string ({_one_line(error)})") from error
    return Trajectories(arrays["states"], arrays.get("actions"), arrays.get("rewards"), metadata)


def _check(trajectories: Trajectories, *, name: str) -> None:
    metadata = trajectories.metadata
    if not isinstance(metadata, dict) or not isinstance(metadata.get("task"), str):
        raise UserError(f"{name}: 'metadata' must be an object with a string 'task'")
    repeat = metadata.get("action_repeat")
    if not isinstance(repeat, int) or isinstance(repeat, bool) or repeat < 1:
        raise UserError(f"{name}: 'action_repeat' in 'metadata' must be a whole number from 1, not {repeat!r}")
    present = {key: getattr(trajectories, key) for key in _DTYPES if getattr(trajectories, key) is not None}
    for key, array in present.items():
        if array.dtype != _DTYPES[key]:
            raise UserError(f"{name}: {key!r} must be {_DTYPES[key]}, not {array.dtype}")
        if array.ndim != _AXES[key].count(",") + 1 or 0 in array.shape:
            raise UserError(f"{name}: {key!r} must be {_AXES[key]} with no empty axis, not {list(array.shape)}")
    demonstrations, steps = trajectories.states.shape[0], trajectories.states.shape[1] - 1
    if steps < 1:
        raise UserError(f"{name}: 'states' must hold at least two states a demonstration, for one pair")
    for key, array in present.items():
        if key != "states" and array.shape[:2] != (demonstrations, steps):
            wanted = f"[{demonstrations},{steps}{',A' if key == 'actions' else ''}]"
            raise UserError(f"{name}: {key!r} must be {wanted} to fit 'states', not {list(array.shape)}")
        if not np.isfinite(array).all():
            raise UserError(f"{name}: {key!r} has values that are not finite")
    if trajectories.actions is not None and np.abs(trajectories.actions).max() > 1:
        raise UserError(f"{name}: 'actions' must lie in [-1, 1], not up to {np.abs(trajectories.actions).max():g}")


def _stride(recorded: int, wanted: int, *, steps: int, name: str) -> int:
    if wanted < 1 or wanted % recorded:
        raise UserError(f"{name}: recorded at action repeat {recorded}: action_repeat must be a multiple, not {wanted}")
    if wanted // recorded > steps:
        raise UserError(f"{name}: {steps} steps of {recorded} frames hold no pair at action repeat {wanted}")
    return wanted // recorded


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
