"""HDF5 files of others: robomimic's tree and its family (LIBERO, robocasa, MimicGen), and V-D4RL's rows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from patchail_jax.demos.file_kinds import HDF5
from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.demos.hdf5_inside import Inside, open_file
from patchail_jax.demos.import_rows import EpisodeCutter, is_rows
from patchail_jax.demos.listed_files import files_of
from patchail_jax.demos.natural_order import by_number
from patchail_jax.demos.row_marks import marks_episodes
from patchail_jax.errors import UserError


def read(paths: Sequence[Path], request: Request, *, camera: str = "", mask: str = "") -> Trajectories:
    """The demonstrations of files and folders, read one at a time.

    Rows as of V-D4RL, see ``import_rows``; the files are taken as one in the order of their numbers. robomimic:
    ``data/demo_<i>`` with pictures ``obs/<camera>`` or ``obs/<camera>_image``, one an action, and the last one in
    ``next_obs`` where it is kept; ``mask`` names a list of demonstrations in the file. Raises UserError without h5py,
    for another form and for data that lie outside of a file, see also ``Gathering.add``.
    """
    files = files_of(paths, HDF5)
    gathering = Gathering(request, str(files[0]))
    rows = EpisodeCutter(gathering, files)
    for path in files:
        if gathering.full:
            break
        gathering.source = str(path)
        with open_file(path, request.memory) as inside:
            if "data" in inside:
                if is_rows(inside):
                    gathering.notes.setdefault(f"{path.name}: robomimic's data are taken, and not the rows beside them")
                _robomimic(inside, gathering, camera, mask)
            elif is_rows(inside):
                if mask:
                    raise UserError(f"{path}: has no masks, which are robomimic's")
                if not marks_episodes(inside):
                    raise UserError(
                        f"{path}: has rows without step_type or is_first: add one of them, to mark where episodes start"
                    )
                rows.add(inside)
            else:
                raise UserError(
                    f"{path}: has neither robomimic's 'data' nor V-D4RL's rows (observation or image, and step_type or "
                    f"is_first), but {', '.join(sorted(inside.file)[:8]) or 'nothing'}"
                )
    rows.finish()
    gathering.source = ", ".join(map(str, paths))
    return gathering.finish(f"hdf5 {', '.join(path.name for path in paths)}")


def _robomimic(inside: Inside, gathering: Gathering, camera: str, mask: str) -> None:
    for name in _names(inside, mask):
        if gathering.full:
            return
        group = f"data/{name}"
        chosen = _camera(inside, group, camera)
        frames = inside.take(f"{group}/obs/{chosen}")
        steps = len(frames)
        next_pictures = f"{group}/next_obs/{chosen}"
        if next_pictures in inside and inside.shape(next_pictures)[0] == steps:
            last = inside.take(next_pictures, steps - 1)
            _refuse_another_kind(frames, last, f"{gathering.where(name)}: next_obs")
            frames = np.concatenate([frames, last])
        if len(frames) < 2:
            gathering.notes.setdefault(f"{name} has {len(frames)} frames, no step, and is left out")
            continue
        if not np.array_equal(told := inside.get(group).attrs.get("num_samples", steps), steps):
            gathering.leave_out(f"num_samples is {told}, and there are pictures of {steps}")
        wanted = ("actions", "rewards") if gathering.request.actions else ("rewards",)
        held = {part: inside.take(f"{group}/{part}") for part in wanted if f"{group}/{part}" in inside}
        gathering.add_arrays(frames, held.get("actions"), held.get("rewards"), name=name)


def _refuse_another_kind(frames: np.ndarray, last: np.ndarray, where: str) -> None:
    """UserError where the last picture is not of the form of those before it."""
    if (frames.dtype, frames.shape[1:]) != (last.dtype, last.shape[1:]):
        held, wanted = (f"{kind.dtype}{list(kind.shape[1:])}" for kind in (last, frames))
        raise UserError(f"{where} has pictures of {held}, and obs of {wanted}: delete or make anew one of the two")


def _names(inside: Inside, mask: str) -> list[str]:
    """Of the demonstrations, demo_2 before demo_10."""
    held = sorted(inside.names("data"), key=by_number)
    if not mask:
        return held
    known = inside.names("mask") if "mask" in inside else []
    if mask not in known:
        raise UserError(f"{inside.path}: has no mask {mask!r}; it has {', '.join(known) or 'none'}")
    chosen = {item.decode() if isinstance(item, bytes) else str(item) for item in inside.take(f"mask/{mask}")}
    if lost := sorted(chosen - set(held)):
        raise UserError(f"{inside.path}: mask {mask!r} lists {lost[0]}, which is not there")
    return [name for name in held if name in chosen]


def _camera(inside: Inside, group: str, camera: str) -> str:
    """The data set of pictures below ``obs``."""
    held = inside.names(f"{group}/obs")
    known = [name for name in held if len(inside.shape(f"{group}/obs/{name}")) == 4]
    for name in (camera, f"{camera}_image"):
        if camera and name in known:
            return name
    if not camera and len(known) == 1:
        return known[0]
    if not known:
        listed = ", ".join(f"{name} {list(inside.shape(f'{group}/obs/{name}'))}" for name in held) or "nothing"
        raise UserError(f"{inside.path}: {group}/obs has no pictures of four axes (time and three), but {listed}")
    raise UserError(f"{inside.path}: {group}: use --camera with one of its cameras: {', '.join(known)}")
