"""The on-disk form of demonstrations: one ``.npz`` file, read and written with every check.

A file holds physics states, so that one small file serves every image size, camera and render quality, and ``render``
makes the frames; or frames, where there are no states, as from a video. ``shipped/README.md`` describes the form and
the seven files that come with the package.
"""

import importlib.resources
import json
from pathlib import Path

import numpy as np

from patchail_jax.demos.file_kinds import refuse_other_kinds
from patchail_jax.demos.form import DTYPES, check
from patchail_jax.demos.form import Trajectories as Trajectories
from patchail_jax.errors import UserError, one_line
from patchail_jax.files import npz
from patchail_jax.files.home import expanded
from patchail_jax.files.ordinary import require_file
from patchail_jax.files.trouble import not_written


def load(
    path: str | Path,
    *,
    expected_task: str | None = None,
    action_repeat: int | None = None,
    memory: int | None = None,
) -> Trajectories:
    """The demonstrations in the file, as they stand there (``subsample`` brings them to another action repeat).

    Raises UserError, one line that names the file, for anything but a whole and sound file; also when its task is not
    ``expected_task``, when ``action_repeat`` is not a multiple of the file's, or when its arrays would take more than
    ``memory`` bytes.
    """
    path = expanded(path)
    trajectories = _read(path, memory)
    check(trajectories, name=str(path))
    task, repeat = trajectories.metadata["task"], trajectories.metadata["action_repeat"]
    if expected_task is not None and task != expected_task:
        raise UserError(f"{path}: holds demonstrations of {task!r}, not of {expected_task!r}: give that task's file")
    if action_repeat is not None:
        _stride(repeat, action_repeat, steps=int(trajectories.steps.min()), name=str(path))
    return trajectories


def save(path: str | Path, trajectories: Trajectories, *, replace: bool = True) -> None:
    """Writes the file whole or not at all; what ``load`` would refuse is refused here, before anything is written.

    Raises UserError for unsound trajectories, when the file cannot be written and, without ``replace``, when it is
    there.
    """
    path = expanded(path)
    check(trajectories, name=str(path))
    arrays = {key: getattr(trajectories, key) for key in DTYPES if getattr(trajectories, key) is not None}
    try:
        arrays["metadata"] = np.array(json.dumps(trajectories.metadata))
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: 'metadata' has a value that JSON cannot hold ({one_line(error)})") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        npz.write(path, arrays, compressed=True, replace=replace)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            raise UserError(f"{path} already exists, and was left as it is") from error
        raise not_written(path, error) from error


def shipped(task: str) -> Path:
    """The file of ten demonstrations that comes with the package; UserError, listing those tasks, if there is none."""
    folder = Path(str(importlib.resources.files(__package__))) / "shipped"
    tasks = sorted(file.stem for file in folder.glob("*.npz"))
    if task not in tasks:
        raise UserError(f"no demonstrations of {task!r} are shipped (only {', '.join(tasks)}): give a file's path")
    return folder / f"{task}.npz"


def subsample(trajectories: Trajectories, action_repeat: int) -> Trajectories:
    """The same demonstrations seen every ``action_repeat`` frames: every k-th state or frame, k = wanted / recorded.

    For k > 1 the actions become None (k actions of the expert are not one of the agent) and rewards are summed over
    k steps. A remainder of T / k steps at the end is dropped, so that all pairs are equally far apart in time.
    Raises UserError if the wanted action repeat is not a multiple of the recorded one, or T < k.
    """
    metadata, steps, lengths = trajectories.metadata, trajectories.observed.shape[1] - 1, trajectories.lengths
    shortest, name = int(trajectories.steps.min()), f"demonstrations of {metadata['task']}"
    k = _stride(metadata["action_repeat"], action_repeat, steps=shortest, name=name)
    if k == 1:
        return trajectories
    kept, rewards = steps // k, trajectories.rewards
    if rewards is not None:
        rewards = rewards[:, : kept * k].reshape(len(rewards), kept, k).sum(axis=2)
    states, frames = (
        None if observed is None else observed[:, : kept * k + 1 : k]
        for observed in (trajectories.states, trajectories.frames)
    )
    metadata = {**metadata, "action_repeat": action_repeat}
    if "steps_per_second" in metadata:
        metadata["steps_per_second"] /= k
    return Trajectories(
        states,
        None,
        rewards,
        metadata,
        frames,
        None if lengths is None else lengths // k,
    )


def _read(path: Path, memory: int | None) -> Trajectories:
    require_file(path, "file of demonstrations")
    refuse_other_kinds(path)
    remedy = "convert it again with fewer demonstrations or a smaller image size"
    with npz.reading(path, memory=memory, remedy=remedy) as archive:
        arrays = {key: archive[key] for key in (*DTYPES, "metadata") if key in archive.files}
    if "states" not in arrays and "frames" not in arrays:
        raise UserError(
            f"{path}: has no array 'states' or 'frames': see demos/shipped/README.md for the form; files of V-D4RL, "
            "Dreamer and AIME are read by patchail demos convert npz"
        )
    if "metadata" not in arrays:
        raise UserError(f"{path}: has no array 'metadata': see demos/shipped/README.md for the form")
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise UserError(f"{path}: {key!r} is not a numpy array: see demos/shipped/README.md for the form")
    text = arrays["metadata"]
    try:
        if text.shape != () or text.dtype.kind != "U":
            raise ValueError("not one string")
        metadata = json.loads(text.item())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: 'metadata' must be one JSON string ({one_line(error)})") from error
    return Trajectories(**{key: arrays.get(key) for key in DTYPES}, metadata=metadata)


def _stride(recorded: int, wanted: int, *, steps: int, name: str) -> int:
    if wanted < 1 or wanted % recorded:
        raise UserError(
            f"{name}: recorded at action repeat {recorded}: config.env.action_repeat must be a multiple, not {wanted}"
        )
    if wanted // recorded > steps:
        raise UserError(
            f"{name}: {steps} steps of {recorded} frames hold no pair at action repeat {wanted}: "
            "lower config.env.action_repeat"
        )
    return wanted // recorded
