"""Frames of recorded states, rendered once and then read from a cache.

One demonstration is one ``.npy`` file in the cache, so that runs with one and with ten demonstrations share them, and
an interrupted rendering goes on where it stopped.
"""

import hashlib
import importlib.metadata
import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from patchail_jax.demos.trajectory import Trajectories
from patchail_jax.envs import dmc, rendering, tasks
from patchail_jax.envs.environment import make
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError
from patchail_jax.files.home import expanded
from patchail_jax.files.whole_file import whole_file

_log = logging.getLogger(__name__)

# Parts of a model that some suite tasks draw at random at reset (a target's place, a terrain) and no state holds.
_DRAWN_AT_RESET = ("body_pos", "geom_pos", "site_pos", "hfield_data")


def render(
    trajectories: Trajectories,
    view: View,
    *,
    cache_dir: str | Path,
    source: str = "the demonstrations",
) -> np.ndarray:
    """The frames [D,T+1,H,W,3] uint8 of all states, with a progress bar on stderr for those not in the cache.

    A frame equals the one rendered live in that state, before a look is laid over it: of ``view``, its task, image
    size, camera and quality count. The cache gives frames that this process would draw to the last bit: of the same
    renderer (``rendering.opengl_name``), MuJoCo and dm_control. ``source`` names the demonstrations in messages. Raises
    UserError if the states are not of this task's size, or nothing can render here. A cache that cannot be written
    costs only the time to render again.
    """
    backend = rendering.choose_backend()
    task, image_size, quality = view.task, view.image_size, view.quality
    camera_id = tasks.facts(task).camera_id if view.camera_id is None else view.camera_id
    assert trajectories.states is not None
    drawn = rendering.QUALITIES.get(quality, quality)
    facts = {
        "task": task,
        "image_size": image_size,
        "camera_id": camera_id,
        "quality": drawn,
        "backend": backend,
        "renderer": rendering.opengl_name(),
    }
    demonstrations, length = trajectories.states.shape[:2]
    frames = np.empty((demonstrations, length, image_size, image_size, 3), np.uint8)
    files = [expanded(cache_dir) / f"{_key(states, facts)}.npy" for states in trajectories.states]
    missing = [d for d, file in enumerate(files) if not _read(file, into=frames[d])]
    if not missing:
        return frames
    with _open(task, quality=quality) as environment:
        physics = environment.physics
        if physics.get_state().size != trajectories.states.shape[2]:
            raise UserError(
                f"{source}: a state of {task} has {physics.get_state().size} numbers, "
                f"not {trajectories.states.shape[2]}: record for the dm_control installed here"
            )
        draw = rendering.Renderer(physics, image_size=image_size, camera_id=camera_id)
        with tqdm(
            total=len(missing) * length,
            desc=f"rendering {task} at {image_size} px",
            unit="frame",
            mininterval=0.2 if sys.stderr.isatty() else 15.0,  # a log file wants few lines
        ) as bar:
            for d in missing:
                for t, state in enumerate(trajectories.states[d]):
                    with physics.reset_context():
                        physics.set_state(state)
                    frames[d, t] = draw()
                    bar.update()
                _write(files[d], frames[d])
    return frames


def reset_frames(view: View, count: int) -> np.ndarray:
    """What a suite's task shows at the start of ``count`` episodes, ``[count,H,W,3] uint8``; UserError for another."""
    environment = make(view, episode_frames=view.action_repeat)
    try:
        return np.stack([environment.reset(seed).frame for seed in range(count)])
    finally:
        environment.close()


def task_action_size(task: str) -> int:
    """Length of the task's action vector, for demonstrations that come without actions."""
    with dmc.load(task, quality="full") as environment:
        return environment.action_spec().shape[0]


def _open(task: str, *, quality: str) -> Any:
    """The suite's environment of the task, reset: a reset also sets what is seen (finger_spin hides its target)."""
    environment = dmc.load(task, quality=quality)
    environment.task.random.seed(0)
    model, scenes = environment.physics.model, []
    for _ in range(2):
        environment.reset()
        scenes.append([getattr(model, part).copy() for part in _DRAWN_AT_RESET])
    if not all(np.array_equal(first, second) for first, second in zip(*scenes, strict=True)):
        _log.warning(
            "%s places part of its scene at random at each reset, and recorded states do not contain it: "
            "all demonstrations are drawn with the same scene",
            task,
        )
    return environment


def _key(states: np.ndarray, facts: dict[str, Any]) -> str:
    """Names everything that a frame depends on, as far as it is known without drawing one."""
    versions = {package: importlib.metadata.version(package) for package in ("dm_control", "mujoco")}
    written = json.dumps({**facts, **versions}, sort_keys=True)
    return hashlib.sha256(written.encode() + states.tobytes()).hexdigest()


def _read(file: Path, *, into: np.ndarray) -> bool:
    """Fills ``into`` from the cache; False if the file is absent or not whole."""
    try:
        frames = np.load(file, allow_pickle=False)
    except FileNotFoundError:
        return False
    except (OSError, EOFError, ValueError) as error:
        _log.warning("%s cannot be read (%s): rendering again", file, error)
        return False
    if not isinstance(frames, np.ndarray) or frames.shape != into.shape or frames.dtype != into.dtype:
        _log.warning("%s contains other frames: rendering again", file)
        return False
    into[...] = frames
    return True


def _write(file: Path, frames: np.ndarray) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as unfinished, unfinished.open("wb") as stream:
            np.save(stream, frames)
    except OSError as error:
        _log.warning("rendered frames are not kept (%s): set PATCHAIL_CACHE to a folder with room", error)
