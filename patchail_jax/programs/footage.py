"""Episodes to explain: the expert's, the agent's, a random one, or a file's."""

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from patchail_jax.acting.evaluate import evaluate
from patchail_jax.demos.file_kinds import form_of, refuse_other_kinds
from patchail_jax.demos.video_frames import every_picture, open_clip
from patchail_jax.envs.look import square, video_look
from patchail_jax.envs.workers import InlinePool
from patchail_jax.errors import UserError
from patchail_jax.files.home import expanded
from patchail_jax.files.npz import reading
from patchail_jax.run.design import environment_factory, load_experts
from patchail_jax.run.reopened import Trained
from patchail_jax.storage.memory import available
from patchail_jax.types import Purpose

FRAMES = "frames"  # of an npz file: [T+1,H,W,3] uint8


def footage(source: str | os.PathLike[str], trained: Trained) -> np.ndarray:
    """Frames ``[T+1,H,W,3] uint8`` of the run's size; ``source`` is "expert", "agent", "random" or a file's name.

    A ``Path`` is a file's name. A file is a video or a folder of pictures, each frame of which is one agent step and
    gets the run's look (``env.look``); an npz with ``frames``, which are taken as the run saw its own; or an npz of
    demonstrations, of which the first is taken.
    Of frames that are not square the middle square is taken, as ``patchail demos convert`` does. ``UserError`` for
    anything else, for fewer than two frames, and for frames smaller than the run's.
    """
    if not isinstance(source, str | os.PathLike) or not str(source):
        raise UserError(f"no input {source!r}; use {', '.join(INPUTS)}, or the name of a file")
    if isinstance(source, str) and source in INPUTS:
        return INPUTS[source](trained)
    path = expanded(os.fsdecode(source))
    if not os.path.exists(path):  # False too for what no file can be called
        raise UserError(f"no input {str(path)!r}; use {', '.join(INPUTS)}, or a file that is there: a video or an npz")
    if path.suffix == ".npy":
        raise UserError(f"{path} is an .npy: write the frames by numpy.savez('FILE.npz', frames=...) and name FILE.npz")
    if form_of(path) not in ("", "video"):
        refuse_other_kinds(path)
    side = trained.specs.image_size
    if path.suffix == ".npz":
        frames = _read_npz(path, trained)
    else:
        frames = read_film(path, image_size=side)
        if trained.config.env.look != "none":  # as the run saw the expert and the agent
            for number, frame in enumerate(frames):
                frames[number] = video_look(frame, side)
    _check_count(path, len(frames))
    return frames


def read_film(path: Path, *, image_size: int) -> np.ndarray:
    """Every frame of a film, its middle square, as ``[T,H,W,3] uint8``, H = W = ``image_size``.

    ``UserError`` where it is no film, or smaller.
    """
    # A rate of its own, one frame a second: so every frame is shown once, however irregular the film's times are.
    clip = open_clip(path, frames_per_second=1.0)
    return _squares(path, every_picture(clip), image_size)


def _read_npz(path: Path, trained: Trained) -> np.ndarray:
    with reading(path, memory=available(), remedy="name a file of fewer frames") as archive:
        frames = archive[FRAMES] if FRAMES in archive and "metadata" not in archive else None
    if frames is None:
        return _expert(trained, path=str(path))
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise UserError(f"{path}: 'frames' must be [T+1,H,W,3] uint8, not {frames.dtype}{list(frames.shape)}")
    _check_count(path, len(frames))
    return _squares(path, frames, trained.specs.image_size)


def _squares(path: Path, pictures: Iterable[np.ndarray], image_size: int) -> np.ndarray:
    frames = []
    for picture in pictures:
        try:
            frames.append(square(picture, image_size))
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
    return np.stack(frames) if frames else np.zeros((0, image_size, image_size, 3), np.uint8)


def _check_count(path: Path, count: int) -> None:
    if count < 2:
        raise UserError(f"{path} has {count} frame{'s' * (count != 1)}; a step takes two")


def _expert(trained: Trained, *, path: str = "") -> np.ndarray:
    """The first demonstration of the run's own, or of another file."""
    config = trained.config.copy_and_resolve_references()
    config.demos.num_demonstrations = 1
    config.demos.path = path or config.demos.path
    return load_experts(config, trained.specs.action_size).demonstration(0)


def _play(trained: Trained, act: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The first episode of the run's evaluations, under another policy."""
    config = trained.config
    pool = InlinePool(environment_factory(config), 1)
    try:
        found = evaluate(pool, act, episodes=1, specs=trained.specs, root=(config.seed, Purpose.EVALUATION))
    finally:
        pool.close()
    return found.episode.frames


def _agent(trained: Trained) -> np.ndarray:
    devices = trained.devices
    return _play(trained, functools.partial(devices.exploit, devices.publish(trained.state)))


def _random(trained: Trained) -> np.ndarray:
    rng = np.random.default_rng([trained.config.seed, Purpose.RANDOM_PLAY])
    size = trained.specs.action_size
    return _play(trained, lambda observations: rng.uniform(-1, 1, (len(observations), size)).astype(np.float32))


INPUTS: dict[str, Callable[[Trained], np.ndarray]] = {"expert": _expert, "agent": _agent, "random": _random}
