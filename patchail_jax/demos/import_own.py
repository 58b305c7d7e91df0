"""Demonstrations in the form of this package once more: fewer, smaller or turned round."""

import dataclasses
import zipfile
from pathlib import Path

from patchail_jax.demos import trajectory
from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.errors import UserError


def is_own(path: Path) -> bool:
    """Whether the file says of itself what demonstrations of this package say."""
    try:
        with zipfile.ZipFile(path) as parts:
            return "metadata.npy" in parts.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def read(path: Path, request: Request) -> Trajectories:
    """The file's demonstrations at the file's own action repeat.

    Raises UserError for what ``trajectory.load`` refuses, and for states that are to be of another size or turned
    round: they are drawn when they are used.
    """
    held = trajectory.load(path, expected_task=request.task, memory=request.memory)
    count = len(held.observed) if request.num_demonstrations is None else request.num_demonstrations
    metadata = held.metadata
    if held.frames is None:
        if request.flip != "none" or request.image_size is not None:
            raise UserError(f"{path}: holds states, which are drawn when they are used: leave out --flip, --image_size")
        held = held.first(count)
        return held if request.actions else held._replace(actions=None)
    asked = dataclasses.replace(request, action_repeat=metadata["action_repeat"])
    gathering = Gathering(asked, str(path), lossy=bool(metadata.get("lossy")), video_size=metadata.get("video_size", 0))
    gathering.steps_per_second = metadata.get("steps_per_second")
    gathering.notes |= dict.fromkeys(metadata.get("notes", []))
    for d in range(min(count, len(held.frames))):
        gathering.add(*held.demonstration(d), name=path.name)
    return gathering.finish(metadata.get("source", path.name))
