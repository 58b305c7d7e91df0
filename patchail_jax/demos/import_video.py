"""Videos of the behaviour as demonstrations without actions: their time, their size and how lossy they are."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import MIDDLE, Gathering, Request
from patchail_jax.demos.listed_files import refuse_twice
from patchail_jax.demos.picture_files import SLACK
from patchail_jax.demos.task_fit import steps_per_second
from patchail_jax.demos.video_frames import Clip, open_clip
from patchail_jax.errors import UserError

_LARGEST_DRAWN = 480  # pixels, of the suite's off-screen buffer


class Cutting(NamedTuple):
    """What of a video is taken.

    ``control_rate`` is agent steps a second of the task's time (None: of the suite's task at its action repeat);
    ``frames_per_second`` is the video's true rate, where the file does not say it or says another (a folder of
    pictures, slow motion); ``crop`` is (left, top, side) in the video's pixels, None the middle square; ``start``,
    ``end`` (None: the last) and ``split`` in seconds of the behaviour: one demonstration ends and the next starts at
    each of ``split``.
    """

    control_rate: float | None = None
    frames_per_second: float | None = None
    crop: tuple[int, int, int] | None = None
    start: float = 0.0
    end: float | None = None
    split: tuple[float, ...] = ()


def read(paths: Sequence[Path], request: Request, cutting: Cutting) -> Trajectories:
    """A demonstration for each part of each video: a frame for every agent step, cut to a square and reduced by area.

    Frames are read one at a time. Raises UserError for files that cannot be read, a rate too low to show every step,
    times that do not rise, a crop or size beyond the picture, and frames that need more memory than there is.
    """
    rate = cutting.control_rate or steps_per_second(request.task, request.action_repeat)
    if cutting.split and len(paths) > 1:
        raise UserError("--split is for one video: convert several one by one")
    times = [cutting.start, *cutting.split, *([] if cutting.end is None else [cutting.end])]
    if not 0 <= cutting.start < math.inf or any(not earlier < later for earlier, later in itertools.pairwise(times)):
        listed = ", ".join(f"{time:g}" for time in times)
        raise UserError(f"--start, --split and --end must be 0 s or more, each later than the one before, not {listed}")
    refuse_twice(paths)
    names = ", ".join(path.name for path in paths)
    gathering = Gathering(request, names, steps_per_second=rate)
    for path in paths:
        clip = open_clip(path, frames_per_second=cutting.frames_per_second)
        _check_rate(clip, rate, request.action_repeat, given=cutting.control_rate is not None)
        gathering.source = str(path)
        end = clip.length if cutting.end is None else min(cutting.end, clip.length)
        cuts = [cutting.start, *cutting.split, end]
        spans = [
            start + np.arange(max(0, round((stop - start) * rate))) / rate for start, stop in itertools.pairwise(cuts)
        ]
        shown = _cut(clip.pictures(np.concatenate(spans)), cutting.crop, path, gathering)
        for start, span in zip(cuts, spans, strict=False):
            if len(span) < 2:
                raise UserError(
                    f"{path}: shows {len(span)} agent steps from {start:g} s on, of {clip.length:.2g} s in all; there "
                    "must be 2 or more"
                )
            name = path.name if len(spans) == 1 else f"{path.name} from {span[0]:g} s"
            gathering.add(itertools.islice(shown, len(span)), None, None, name=name)
        gathering.notes |= clip.notes
        gathering.lossy |= clip.lossy
    gathering.source = names
    return gathering.finish(f"video {names}")


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


def _check_rate(clip: Clip, rate: float, action_repeat: int, *, given: bool) -> None:
    """``UserError`` where the video has not a frame for each agent step; ``given``: their ``rate`` is a flag's."""
    if rate > clip.rate * SLACK:
        enough = math.ceil(action_repeat * rate / clip.slowest / SLACK)
        with_rate = f" with --control_rate {action_repeat * rate / enough:g}" if given else ""
        raise UserError(
            f"{clip.path}: {clip.rate:g} frames a second cannot show {rate:g} agent steps a second (shown twice, the "
            f"expert would stand still): use --action_repeat {enough} here and in training{with_rate}, or "
            "--frames_per_second if the video is in slow motion"
        )


def _cut(
    pictures: Iterable[np.ndarray], crop: tuple[int, int, int] | None, path: Path, gathering: Gathering
) -> Iterator[np.ndarray]:
    for picture in pictures:
        height, width = picture.shape[:2]
        if crop is None and height != width:
            gathering.notes.setdefault(MIDDLE.format(width, height))
        left, top, side = crop or ((width - min(width, height)) // 2, (height - min(width, height)) // 2, 0)
        side = side or min(width, height)
        if left < 0 or top < 0 or side < 1 or left + side > width or top + side > height:
            raise UserError(f"{path}: --crop {left},{top},{side} leaves the picture of {width}x{height} pixels")
        gathering.video_size = max(gathering.video_size, side)
        yield picture[top : top + side, left : left + side]
