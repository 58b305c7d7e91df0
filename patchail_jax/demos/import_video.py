"""Videos of the behaviour as demonstrations without actions: their time, their size and how lossy they are."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.demos.form import Demonstration, Trajectories, assemble
from patchail_jax.demos.video_frames import Clip, open_clip
from patchail_jax.envs import dmc
from patchail_jax.envs.look import square
from patchail_jax.errors import UserError

_SLACK = 1.02  # of the video's rate: 29.97 frames a second are 30
_LARGEST_DRAWN = 480  # pixels, of the suite's off-screen buffer


def read(
    paths: Sequence[Path],
    *,
    task: str,
    action_repeat: int,
    image_size: int,
    control_rate: float | None = None,
    frames_per_second: float | None = None,
    crop: tuple[int, int, int] | None = None,
    start: float = 0.0,
    end: float | None = None,
    memory: int,
) -> Trajectories:
    """One demonstration a video: a frame for every agent step, cut to a square and reduced by area to ``image_size``.

    ``control_rate`` is agent steps a second of the task's time (None: of the suite's task at ``action_repeat``);
    ``frames_per_second`` is the video's true rate, where the file does not say it or says another (a folder of png,
    slow motion); ``crop`` is (left, top, side) in the video's pixels, None the middle square; ``start`` and ``end`` in
    seconds of the behaviour. Frames are read one at a time. Raises UserError for files that cannot be read, a rate too
    low to show every step, a crop or size beyond the picture, and frames that need more than ``memory`` bytes.
    """
    rate = control_rate or steps_per_second(task, action_repeat)
    demonstrations, sides, lossy = [], [], False
    room = memory // 2  # the frames are put together at the end
    for path in paths:
        clip = open_clip(path, frames_per_second=frames_per_second)
        _check_rate(clip, rate, action_repeat)
        frames = []
        for picture in clip.at_rate(rate, start, end):
            cut = _cut(picture, crop, path)
            sides.append(min(cut.shape[:2]))
            frames.append(square(cut, image_size))
            room -= frames[-1].nbytes
            if room < 0:
                raise UserError(f"{path}: more frames than memory has room for: use --end or --image_size")
        if len(frames) < 2:
            raise UserError(f"{path}: shows {len(frames)} agent steps from {start:g} s on; there must be 2 or more")
        demonstrations.append(Demonstration(np.stack(frames)))
        lossy |= clip.lossy
    names = ", ".join(path.name for path in paths)
    metadata: dict[str, Any] = {"task": task, "action_repeat": action_repeat, "source": f"video {names}"}
    if lossy:
        metadata |= {"lossy": True, "video_size": max(sides)}
    return assemble(demonstrations, metadata, name=names)


def steps_per_second(task: str, action_repeat: int) -> float:
    """Agent steps a second of a suite task's time."""
    try:
        with dmc.load(task, quality="full") as environment:
            return 1.0 / (environment.control_timestep() * action_repeat)
    except UserError as error:
        raise UserError(f"{error}; for a task of your own give --control_rate, its agent steps a second") from error


def advice(metadata: dict[str, Any], image_size: int) -> list[str]:
    """A line that says what to train with on frames of a lossy video, or none where there is nothing to mind."""
    if not metadata.get("lossy"):
        return []
    size = min(int(metadata.get("video_size", 0)), _LARGEST_DRAWN)
    reduced = f" --config.env.look_size={size}" if size > image_size else ""
    return [
        "These frames carry the traces of a lossy video, and a discriminator finds them sooner than it finds the "
        f"behaviour. Train with --config.env.look=video{reduced}: it compresses and blurs the expert's and the agent's "
        "frames alike."
    ]


def _check_rate(clip: Clip, rate: float, action_repeat: int) -> None:
    if rate > clip.rate * _SLACK:
        enough = math.ceil(action_repeat * rate / clip.rate / _SLACK)
        raise UserError(
            f"{clip.path}: {clip.rate:g} frames a second cannot show {rate:g} agent steps a second (shown twice, the "
            f"expert would stand still): use --action_repeat {enough} here and in training, or --frames_per_second "
            "if the video is in slow motion"
        )


def _cut(picture: np.ndarray, crop: tuple[int, int, int] | None, path: Path) -> np.ndarray:
    if crop is None:
        return picture
    left, top, side = crop
    height, width = picture.shape[:2]
    if left < 0 or top < 0 or side < 1 or left + side > width or top + side > height:
        raise UserError(f"{path}: --crop {left},{top},{side} leaves the picture of {width}x{height} pixels")
    return picture[top : top + side, left : left + side]
