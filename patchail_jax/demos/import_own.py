"""Demonstrations in the form of this package once more: fewer, smaller or turned round."""

import dataclasses
import zipfile
from pathlib import Path

from patchail_jax.demos import trajectory
from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request, require_as_many
from patchail_jax.demos.pictures import turned
from patchail_jax.errors import UserError


def is_own(path: Path) -> bool:
    """Whether the file says of itself what demonstrations of this package say."""
    try:
        with zipfile.ZipFile(path) as parts:
            return "metadata.npy" in parts.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def read(path: Path, request: Request, *, repeat: int | None = None) -> Trajectories:
    """The file's demonstrations at the file's own action repeat.

    Raises UserError for what ``trajectory.load`` refuses, for another action ``repeat`` where one is given and for more
    demonstrations than the file's, and for states that are to be of another size or turned round, or whose actions are
    to be scaled: they are drawn when they are used, and what was recorded with them is in the task's units.
    """
    held = trajectory.load(path, expected_task=request.task, memory=request.memory)
    metadata, recorded, present = held.metadata, held.metadata["action_repeat"], len(held.observed)
    if repeat not in (None, recorded):
        raise UserError(
            f"{path}: is recorded at action repeat {recorded}, not {repeat}: leave out --action_repeat; "
            "training takes every multiple of it"
        )
    if request.layout:
        raise UserError(f"{path}: is a file of this program, which has one layout: leave out --layout")
    if request.num_demonstrations is not None:
        require_as_many(present, request.num_demonstrations, source=str(path))
    count = request.num_demonstrations or present
    if held.frames is None:
        if request.flip != "none" or request.image_size is not None:
            raise UserError(f"{path}: holds states, which are drawn when they are used: leave out --flip, --image_size")
        if request.bounds:
            raise UserError(
                f"{path}: holds states, and actions in [-1, 1] with them: leave out --action_scale, --action_bounds"
            )
        held = held.first(count)
        return held if request.actions else held._replace(actions=None)
    request = dataclasses.replace(request, action_repeat=recorded)
    gathering = Gathering(
        request, str(path), lossy=bool(metadata.get("lossy")), video_size=metadata.get("video_size", 0)
    )
    gathering.steps_per_second = metadata.get("steps_per_second")
    gathering.notes |= dict.fromkeys(metadata.get("notes", []))
    for d in range(count):
        gathering.add(*held.demonstration(d), name=path.name)
    made = gathering.finish(metadata.get("source", path.name))
    now = {**metadata, **made.metadata, "flipped": turned(str(metadata.get("flipped")), request.flip)}
    return made._replace(metadata={key: value for key, value in now.items() if (key, value) != ("flipped", "none")})
