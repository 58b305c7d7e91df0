"""The forms that ``patchail demos convert`` reads, and the flags of each."""

import argparse
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from patchail_jax.demos import (
    import_hdf5,
    import_lerobot,
    import_minari,
    import_own,
    import_pickle,
    import_rows,
    import_video,
    task_fit,
)
from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Request
from patchail_jax.demos.import_video import Cutting
from patchail_jax.demos.pictures import FLIPS, LAYOUTS
from patchail_jax.errors import UserError
from patchail_jax.programs.arguments import Arguments, gigabytes, number_ranges, pixels, positive, rate
from patchail_jax.storage.memory import available

_GIB = 1024**3
_REPEAT = 2  # unless the flag says otherwise, or the file


def add_forms(kinds: Any) -> list[Arguments]:
    """A parser a form; each sets ``read``, which ``convert`` calls."""
    pickle = kinds.add_parser("pickle", help="expert_demos.pkl of the authors' program and of ROT")
    video = kinds.add_parser("video", help="films, gif and webp, folders of pictures; no actions")
    hdf5 = kinds.add_parser("hdf5", help="robomimic and its family, V-D4RL's 84-pixel shards")
    npz = kinds.add_parser("npz", help="V-D4RL's 64-pixel episodes; files of this program")
    lerobot = kinds.add_parser("lerobot", help="a LeRobot dataset, v3.0 or v2.1")
    minari = kinds.add_parser("minari", help="a Minari dataset on this machine, by its id")
    readers = {pickle: _pickle, video: _video, hdf5: _hdf5, npz: _npz, lerobot: _lerobot, minari: _minari}
    for form, read in readers.items():
        several = {"nargs": "+"} if form in (video, hdf5, npz) else {}
        form.add_argument("source", type=str if form is minari else Path, metavar="IN", **several)
        form.add_argument("--task", required=True, help="<domain>_<task>, or your environment's name")
        form.add_argument("--action_repeat", type=positive, help=f"control steps in one agent step (default {_REPEAT})")
        form.add_argument("--memory", type=gigabytes, help="GiB to use at most (default: what is free)")
        form.add_argument("--flip", choices=list(FLIPS), default="none", help="turn pictures that are upside down")
        form.set_defaults(read=read)
    for form in (pickle, hdf5, npz, lerobot, minari):
        _add_flags_of_episodes(form)
    for form in (pickle, hdf5, npz, minari):
        form.add_argument(
            "--layout",
            choices=list(LAYOUTS),
            default="",
            metavar="LAYOUT",
            help=f"axes of the pictures: {', '.join(LAYOUTS)} (default: detected)",
        )
    for form, example in ((hdf5, "agentview"), (lerobot, "observation.images.top"), (minari, "pixels")):
        form.add_argument("--camera", default="", help=f"camera to take, for example {example}")
    episodes = functools.partial(number_ranges, what="episode")
    lerobot.add_argument("--episodes", type=episodes, metavar="0-9,12", help="episode numbers (default: all)")
    hdf5.add_argument("--mask", default="", help="robomimic's name of a list of demonstrations")
    video.add_argument("--image_size", type=pixels, default=84, help="pixels a side (default 84)")
    video.add_argument("--control_rate", type=rate, help="agent steps a second (default: the suite task's)")
    video.add_argument("--frames_per_second", type=rate, help="frame rate of the video (default: the file's)")
    video.add_argument(
        "--crop", type=_crop, metavar="LEFT,TOP,SIDE", help="square to take, in pixels (default: the middle)"
    )
    video.add_argument("--start", type=float, default=0.0, help="first second to take (default 0)")
    video.add_argument("--end", type=float, help="last second to take (default: the end)")
    video.add_argument(
        "--split", type=_seconds, default=(), metavar="S,S,...", help="seconds at which a new demonstration begins"
    )
    return list(readers)


def convert(options: argparse.Namespace) -> Trajectories:
    """What ``options`` asks to read; UserError for a flag or a file that does not do."""
    task_fit.refuse_name(options.task)
    read: Trajectories = options.read(options, _request(options))
    if odd := task_fit.compare(read, source=_name_of(options.source)):
        read.metadata["notes"] = [*read.metadata.get("notes", []), *odd]
    return read


def _name_of(source: Any) -> str:
    return ", ".join(map(str, source)) if isinstance(source, list) else str(source)


def _add_flags_of_episodes(form: Arguments) -> None:
    form.add_argument("--control_rate", type=rate, help="agent steps a second, if OUT is a folder")
    form.add_argument("--image_size", type=pixels, help="pixels a side (default: the file's)")
    form.add_argument("--num_demonstrations", type=positive, help="how many to take, from the first (default: all)")
    scale = form.add_mutually_exclusive_group()
    scale.add_argument("--no_actions", action="store_true", help="take the frames alone")
    scale.add_argument(
        "--action_scale", type=_scale, metavar="S", dest="bounds", help="the file's actions lie in -S to S"
    )
    scale.add_argument(
        "--action_bounds",
        type=_bounds,
        metavar="L:H,...",
        dest="bounds",
        help="actions that become -1 and 1: one pair for all, or one for each number",
    )


def _request(options: argparse.Namespace) -> Request:
    given = vars(options)
    names = ("task", "image_size", "num_demonstrations", "flip", "layout")
    return Request(
        **{name: given[name] for name in names if name in given},
        action_repeat=_REPEAT if options.action_repeat is None else options.action_repeat,
        memory=available() if options.memory is None else int(options.memory * _GIB),
        bounds=given.get("bounds") or (),
        actions=not given.get("no_actions", False),
    )


def _pickle(options: argparse.Namespace, request: Request) -> Trajectories:
    return import_pickle.read(options.source, request)


def _hdf5(options: argparse.Namespace, request: Request) -> Trajectories:
    return import_hdf5.read(options.source, request, camera=options.camera, mask=options.mask)


def _npz(options: argparse.Namespace, request: Request) -> Trajectories:
    own = [path for path in options.source if path.is_file() and import_own.is_own(path)]
    if own and len(options.source) > 1:
        raise UserError(f"{own[0]}: is a file of this program: convert it alone")
    return (
        import_own.read(own[0], request, repeat=options.action_repeat)
        if own
        else import_rows.read_npz(options.source, request)
    )


def _lerobot(options: argparse.Namespace, request: Request) -> Trajectories:
    return import_lerobot.read(options.source, request, camera=options.camera, episodes=options.episodes)


def _minari(options: argparse.Namespace, request: Request) -> Trajectories:
    return import_minari.read(options.source, request, camera=options.camera)


def _video(options: argparse.Namespace, request: Request) -> Trajectories:
    cutting = Cutting(**{name: getattr(options, name) for name in Cutting._fields})
    return import_video.read(options.source, request, cutting)


Read = Callable[[str], Any]


def _written(form: str) -> Callable[[Read], Read]:
    """A flag's reader whose ValueError becomes a message that says how the flag is written."""

    def decorate(read: Read) -> Read:
        def checked(text: str) -> Any:
            try:
                return read(text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(f"{text!r} is not {form}") from error

        return checked

    return decorate


@_written("LEFT,TOP,SIDE in pixels")
def _crop(text: str) -> tuple[int, int, int]:
    left, top, side = (int(number) for number in text.split(","))
    if side < 1:
        raise ValueError(text)
    return left, top, side


@_written("S,S,... in seconds")
def _seconds(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


@_written("a number above 0")
def _scale(text: str) -> tuple[tuple[float, float], ...]:
    scale = float(text)
    if not 0 < scale < math.inf:
        raise ValueError(text)
    return ((-scale, scale),)


@_written("LOW:HIGH,... with LOW below HIGH")
def _bounds(text: str) -> tuple[tuple[float, float], ...]:
    """``-2:2,0:1``: low and high of every number of an action, or of all."""
    pairs = [tuple(float(number) for number in pair.split(":")) for pair in text.split(",")]
    if any(len(pair) != 2 or not -float("inf") < pair[0] < pair[1] < float("inf") for pair in pairs):
        raise ValueError(text)
    return tuple((low, high) for low, high in pairs)
