"""Demonstrations of your own: ``patchail demos record|convert|inspect ...``.

``record`` rolls out the newest checkpoint of a run, ``convert`` reads what others wrote (a pickle, videos, hdf5), and
``inspect`` tells what a file holds and whether training takes it. Bad input is one line on stderr and status 2.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from patchail_jax.demos import description, import_hdf5, import_pickle, import_video, render, trajectory
from patchail_jax.demos.form import Trajectories
from patchail_jax.envs.rendering import choose_backend
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError
from patchail_jax.programs.arguments import Arguments
from patchail_jax.programs.console import show_log
from patchail_jax.storage.memory import available

_GIB = 1024**3


def parser() -> argparse.ArgumentParser:
    """All verbs and their arguments; each sets ``run``, the function that does it."""
    whole = Arguments(prog="patchail demos", description="Record, convert and inspect demonstrations.")
    verbs = whole.add_subparsers(required=True, metavar="VERB", parser_class=Arguments)

    record = verbs.add_parser("record", help="episodes of a run's newest checkpoint")
    record.add_argument("folder", metavar="RUN", help="the run's folder, which may be gs://")
    record.add_argument("--episodes", type=int, default=10, help="all are kept (default 10)")
    record.add_argument("--seed", type=int, default=0, help="of the episodes' starts (default 0)")
    record.set_defaults(run=_record)

    kinds = verbs.add_parser("convert", help="from other forms").add_subparsers(
        required=True, metavar="FORM", parser_class=Arguments
    )
    pickle = kinds.add_parser("pickle", help="expert_demos.pkl of the authors' program and of ROT")
    video = kinds.add_parser("video", help="mp4, mov, avi, webm, mkv, gif or folders of png; no actions")
    hdf5 = kinds.add_parser("hdf5", help="V-D4RL's 84-pixel files, robomimic's images")
    for form, convert in ((pickle, _pickle), (video, _video), (hdf5, _hdf5)):
        several = {"nargs": "+"} if form is video else {}
        form.add_argument("source", type=Path, metavar="IN", **several)  # type: ignore[arg-type]
        form.add_argument("--task", required=True, help="<domain>_<task>, or your environment's name")
        form.add_argument("--action_repeat", type=int, default=2, help="control steps of one step (default 2)")
        form.add_argument("--memory", type=float, help="GiB that may be used (default: what is free)")
        form.set_defaults(run=_convert, convert=convert)
    for form in (pickle, hdf5):
        form.add_argument("--image_size", type=int, help="pixels a side (default: as they are)")
        form.add_argument("--num_demonstrations", type=int, help="the first of the file (default: all)")
    hdf5.add_argument("--camera", default="", help="robomimic's, for example agentview")
    video.add_argument("--image_size", type=int, default=84, help="pixels a side (default 84)")
    video.add_argument("--control_rate", type=float, help="agent steps a second (default: the suite task's)")
    video.add_argument("--frames_per_second", type=float, help="of the video (default: what the file says)")
    video.add_argument("--crop", type=_crop, metavar="LEFT,TOP,SIDE", help="pixels (default: the middle square)")
    video.add_argument("--start", type=float, default=0.0, help="seconds (default 0)")
    video.add_argument("--end", type=float, help="seconds (default: the last)")
    for writer in (record, pickle, video, hdf5):
        writer.add_argument("output", type=Path, metavar="OUT.npz")
        writer.add_argument("--force", action="store_true", help="replace OUT.npz if it is there")

    inspect = verbs.add_parser("inspect", help="what a file holds; status 2 for what training would refuse")
    inspect.add_argument("file", type=Path, metavar="FILE.npz")
    inspect.add_argument("--sheet", type=Path, metavar="PNG", help="the contact sheet (default: FILE.png)")
    inspect.add_argument("--task", help="that training is for")
    inspect.add_argument("--action_repeat", type=int, help="that training is for")
    inspect.add_argument("--image_size", type=int, help="that training is for")
    inspect.set_defaults(run=_inspect)
    return whole


def _crop(text: str) -> tuple[int, int, int]:
    left, top, side = (int(number) for number in text.split(","))
    return left, top, side


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _refuse_overwriting(options: argparse.Namespace) -> None:
    if options.output.suffix != ".npz":
        raise UserError(f"{options.output}: demonstrations are written to a name that ends in .npz")
    if options.output.exists() and not options.force:
        raise UserError(f"{options.output} is there already: use --force to replace it")


def _record(options: argparse.Namespace) -> None:
    _refuse_overwriting(options)
    choose_backend()
    from patchail_jax.run.record import record_run

    recorded = record_run(
        options.folder,
        episodes=options.episodes,
        seed=options.seed,
        report=lambda number, value: _say(f"episode {number:3d}  return {value:8.1f}"),
    )
    trajectory.save(options.output, recorded)
    _say(*description.describe(recorded), f"written: {options.output}")


def _convert(options: argparse.Namespace) -> None:
    _refuse_overwriting(options)
    options.memory = available() if options.memory is None else int(options.memory * _GIB)
    for name in ("action_repeat", "image_size", "num_demonstrations", "control_rate", "frames_per_second"):
        value = getattr(options, name, None)
        if value is not None and value <= 0:
            raise UserError(f"--{name} is {value}; it must be more than 0")
    converted: Trajectories = options.convert(options)
    trajectory.save(options.output, converted)
    advice = import_video.advice(converted.metadata, converted.observed.shape[2])
    _say(*description.describe(converted), f"written: {options.output}", *advice)


def _pickle(options: argparse.Namespace) -> Trajectories:
    return import_pickle.read(options.source, **_chosen(options, "image_size", "num_demonstrations"))


def _hdf5(options: argparse.Namespace) -> Trajectories:
    return import_hdf5.read(options.source, **_chosen(options, "image_size", "num_demonstrations", "camera"))


def _video(options: argparse.Namespace) -> Trajectories:
    names = ("image_size", "control_rate", "frames_per_second", "crop", "start", "end")
    return import_video.read(options.source, **_chosen(options, *names))


def _chosen(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("task", "action_repeat", "memory", *names)}


def _inspect(options: argparse.Namespace) -> None:
    held = trajectory.load(
        options.file, expected_task=options.task, action_repeat=options.action_repeat, memory=available()
    )
    _say(*description.describe(held))
    few = description.sheet_part(held)
    frames = few.frames
    if frames is None:
        with tempfile.TemporaryDirectory() as folder:
            view = View(held.metadata["task"], held.metadata["action_repeat"], options.image_size or 84)
            frames = render.render(few, view, cache_dir=folder, source=str(options.file))
    elif options.image_size not in (None, frames.shape[2]):
        raise UserError(f"{options.file}: holds frames of {frames.shape[2]} pixels, not {options.image_size}")
    sheet = options.sheet or options.file.with_suffix(".png")
    description.draw_sheet(sheet, frames)
    _say(f"contact sheet: {sheet}", *import_video.advice(held.metadata, frames.shape[2]))


def main(argv: Sequence[str]) -> int:
    """Does what ``argv`` asks for; returns the exit status, 130 after Ctrl-C."""
    show_log(sys.stderr)
    options = parser().parse_args(argv)
    try:
        options.run(options)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was written\n")
        return 128 + signal.SIGINT
    return 0
