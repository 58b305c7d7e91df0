"""HDF5 files of others: V-D4RL's 84-pixel episodes, and robomimic's images."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.demos.form import Demonstration, Trajectories, assemble, unit_actions
from patchail_jax.envs.look import square
from patchail_jax.errors import UserError

_TOO_MUCH = "more than memory has room for: use --num_demonstrations or --image_size"
_VD4RL = ("observation", "action", "reward", "step_type")


def read(
    path: Path,
    *,
    task: str,
    action_repeat: int,
    image_size: int | None,
    camera: str,
    num_demonstrations: int | None,
    memory: int,
) -> Trajectories:
    """The file's demonstrations, or the first ``num_demonstrations``, read one at a time.

    V-D4RL: ``observation [M,3,H,W]``, ``action``, ``reward`` and ``step_type`` (0 starts an episode), each item with
    the action and reward that led to its observation. robomimic: ``data/demo_<i>`` with ``obs/<camera>_image``
    ``[T,H,W,3]``, ``actions`` and ``rewards`` [T], and the last observation in ``next_obs`` where it is kept.
    ``image_size`` None keeps the frames' own. Raises UserError without h5py, for another form, for data that lie
    outside of the file, and where the demonstrations need more than ``memory`` bytes.
    """
    try:
        import h5py
    except ImportError as error:
        raise UserError("h5py is not installed: pip install 'patchail_jax[hdf5]'") from error
    try:
        with h5py.File(path, "r") as file:
            if all(name in file for name in _VD4RL):
                episodes = _vd4rl(_Inside(file, path, memory))
            elif "data" in file:
                episodes = _robomimic(_Inside(file, path, memory), camera)
            else:
                raise UserError(f"{path}: has neither V-D4RL's arrays ({', '.join(_VD4RL)}) nor robomimic's 'data'")
            demonstrations: list[Demonstration] = []
            spent = 0
            for frames, actions, rewards in episodes:
                if len(demonstrations) == num_demonstrations:
                    break
                size = image_size or min(frames.shape[1:3])
                frames = np.stack([square(frame, size) for frame in frames])
                demonstrations.append(Demonstration(frames, unit_actions(actions, name=str(path)), rewards))
                spent += 2 * frames.nbytes
                if spent > memory:
                    raise UserError(f"{path}: {_TOO_MUCH}")
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())[:120]})") from error
    metadata = {"task": task, "action_repeat": action_repeat, "source": f"hdf5 {path.name}"}
    return assemble(demonstrations, metadata, name=str(path))


class _Inside:
    """Data sets of a file, and of no other file that it points to, as far as memory goes."""

    def __init__(self, file: Any, path: Path, memory: int) -> None:
        self.file, self.path, self.memory = file, path, memory

    def get(self, name: str) -> Any:
        """The data set or group; ``UserError`` where it is not there, or elsewhere."""
        import h5py

        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            within = "/".join(parts[:depth])
            link = self.file.get(within, getlink=True)
            if link is None:
                raise UserError(f"{self.path}: has no {within}")
            if not isinstance(link, h5py.HardLink):
                raise UserError(f"{self.path}: {within} points elsewhere: refused")
        found = self.file[name]
        if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
            raise UserError(f"{self.path}: {name} lies in another file: refused")
        return found

    def take(self, name: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """Items ``start .. end-1`` of a data set, after asking how large they are."""
        data = self.get(name)
        count = len(range(*slice(start, end).indices(len(data))))
        if count * data.dtype.itemsize * math.prod(data.shape[1:]) > self.memory:
            raise UserError(f"{self.path}: {_TOO_MUCH}")
        taken: np.ndarray = data[start:end]
        return taken

    def pixels(self, name: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """``take`` for frames: returns ``[T,H,W,3] uint8``."""
        data = self.get(name)
        if data.dtype != np.uint8 or data.ndim != 4 or 3 not in (data.shape[1], data.shape[3]):
            raise UserError(f"{self.path}: {name} must be pictures in uint8, not {data.dtype}{list(data.shape)}")
        taken = self.take(name, start, end)
        return taken if taken.shape[3] == 3 else np.ascontiguousarray(taken.transpose(0, 2, 3, 1))


_Read = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def _vd4rl(inside: _Inside) -> Iterator[_Read]:
    kinds = inside.take("step_type")
    for start, end in itertools.pairwise([*np.flatnonzero(kinds == 0).tolist(), len(kinds)]):
        if end - start < 2:
            continue
        rewards = inside.take("reward", start + 1, end).astype(np.float32)
        yield inside.pixels("observation", start, end), inside.take("action", start + 1, end), rewards


def _robomimic(inside: _Inside, camera: str) -> Iterator[_Read]:
    names = sorted(inside.get("data"), key=lambda name: (len(name), name))  # demo_2 before demo_10
    for name in names:
        group = inside.get(f"data/{name}")
        images = sorted(image for image in inside.get(f"data/{name}/obs") if image.endswith("_image"))
        chosen = f"{camera}_image" if camera else images[0] if len(images) == 1 else ""
        if chosen not in images:
            known = ", ".join(image.removesuffix("_image") for image in images) or "none"
            raise UserError(f"{inside.path}: use --camera with one of its cameras: {known}")
        frames = inside.pixels(f"data/{name}/obs/{chosen}")
        if "next_obs" in group:
            frames = np.concatenate([frames, inside.pixels(f"data/{name}/next_obs/{chosen}", len(frames) - 1)])
        steps = len(frames) - 1
        if steps < 1:
            continue
        rewards = inside.take(f"data/{name}/rewards", 0, steps).astype(np.float32) if "rewards" in group else None
        yield frames, inside.take(f"data/{name}/actions", 0, steps), rewards
