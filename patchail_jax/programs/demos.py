"""Demonstrations of your own: ``patchail demos record|convert|inspect ...``.

``record`` rolls out the newest checkpoint of a run, ``convert`` reads what others wrote (see ``conversions``), and
``inspect`` tells what a file holds and whether training takes it. Bad input is one line on stderr and status 2.
"""

import argparse
import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from patchail_jax.demos import description, first_frames, import_video, render, task_fit, trajectory
from patchail_jax.demos.file_kinds import refuse_other_kinds
from patchail_jax.demos.form import Trajectories, check
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError, printable
from patchail_jax.files.home import expanded
from patchail_jax.files.ordinary import require_folder
from patchail_jax.programs.arguments import Arguments, pixels, positive, rate, seed
from patchail_jax.programs.console import show_log
from patchail_jax.programs.conversions import add_forms, convert
from patchail_jax.storage.cache import default_cache_dir
from patchail_jax.storage.memory import available


def parser() -> argparse.ArgumentParser:
    """All verbs and their arguments; each sets ``run``, the function that does it."""
    whole = Arguments(prog="patchail demos", description="Record, convert and inspect demonstrations.")
    verbs = whole.add_subparsers(required=True, metavar="VERB", parser_class=Arguments)

    record = verbs.add_parser("record", help="episodes of a run's newest checkpoint")
    record.add_argument("folder", metavar="RUN", help="the run's folder, which may be gs://")
    record.add_argument("--episodes", type=positive, default=10, help="how many; all are kept (default 10)")
    record.add_argument("--seed", type=seed, default=0, help="seed of the episodes' starts (default 0)")
    record.add_argument("--control_rate", type=rate, help="agent steps a second, if OUT is a folder")
    record.set_defaults(run=_record)

    kinds = verbs.add_parser("convert", help="from other forms").add_subparsers(
        required=True, metavar="FORM", parser_class=Arguments
    )
    writers = [record, *add_forms(kinds)]
    for writer in writers:
        writer.add_argument(
            "output", type=expanded, metavar="OUT", help="NAME.npz, or a new folder: a LeRobot dataset v3.0"
        )
        writer.add_argument("--force", action="store_true", help="replace OUT.npz if it is there")
    for writer in writers[1:]:
        writer.set_defaults(run=_convert)

    inspect = verbs.add_parser("inspect", help="what a file holds; status 2 for what training would refuse")
    inspect.add_argument("file", type=expanded, metavar="FILE.npz")
    inspect.add_argument(
        "--sheet", type=expanded, metavar="PNG", help="where to write the contact sheet (default: FILE.png)"
    )
    inspect.add_argument("--task", help="the task you will train on")
    inspect.add_argument("--action_repeat", type=positive, help="as in training")
    inspect.add_argument("--image_size", type=pixels, help="as in training")
    inspect.set_defaults(run=_inspect)
    return whole


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))
    sys.stdout.flush()


def _refuse_overwriting(options: argparse.Namespace) -> None:
    if options.output.name == ".npz":
        raise UserError(f"{options.output}: give the file a name, such as NAME.npz")
    if options.output.suffix not in (".npz", ""):
        raise UserError(f"{options.output}: demonstrations are written to a name that ends in .npz, or to a folder")
    if options.output.exists() and not options.output.suffix:
        raise UserError(f"{options.output} already exists: name a new folder")
    if not options.output.suffix and importlib.util.find_spec("pyarrow") is None:
        raise UserError(f"{options.output}: a folder is a LeRobot dataset: pip install '.[lerobot]'")
    require_folder(options.output.parent)
    if options.output.exists() and not options.force:
        raise UserError(f"{options.output} already exists: use --force to replace it")


def _record(options: argparse.Namespace) -> None:
    _refuse_overwriting(options)
    from patchail_jax.run.record import record_run

    recorded = record_run(
        options.folder,
        episodes=options.episodes,
        seed=options.seed,
        report=lambda number, value: _say(f"episode {number:3d}  return {value:8.1f}"),
        check=lambda metadata: options.output.suffix or _rate(metadata, options.control_rate),
    )
    said = _described(options, recorded)
    _say(*said, *_write(options, recorded))


def _convert(options: argparse.Namespace) -> None:
    _refuse_overwriting(options)
    converted = convert(options)
    said, advice = _described(options, converted), import_video.advice(converted.metadata, converted.observed.shape[2])
    _say(*said, *_write(options, converted), *advice)


def _described(options: argparse.Namespace, made: Trajectories) -> list[str]:
    """What is said of demonstrations once they are written, made before; UserError for what would not be written."""
    check(made, name=str(options.output))
    return description.describe(made)


def _write(options: argparse.Namespace, demonstrations: Trajectories) -> list[str]:
    """As a file, or as a LeRobot dataset of the rate that is asked for, or their own, or else the suite task's.

    Returns what is to be said of it.
    """
    output, written = options.output, f"written: {options.output}"
    if output.suffix:
        trajectory.save(output, demonstrations, replace=options.force)
        return [written]
    from patchail_jax.outputs.lerobot_dataset import write_dataset

    metadata = demonstrations.metadata
    frames = demonstrations.frames
    if frames is None:
        view = View(metadata["task"], metadata["action_repeat"], image_size=84)
        frames = render.render(demonstrations, view, cache_dir=default_cache_dir())
    write_dataset(output, demonstrations, frames, fps=_rate(metadata, options.control_rate))
    if demonstrations.actions is not None:
        return [f"{written}, which has a frame for each action: the last frame of each episode is left out"]
    if demonstrations.rewards is not None:
        return [f"{written}, which has every frame, and no rewards, as there are no actions"]
    return [written]


def _rate(metadata: dict[str, Any], asked: float | None) -> float:
    """Steps a second; ``UserError`` for a task of one's own that does not say."""
    own: float | None = asked or metadata.get("steps_per_second")
    return own or task_fit.steps_per_second(metadata["task"], metadata["action_repeat"])


def _inspect(options: argparse.Namespace) -> None:
    sheet = _output(options)
    refuse_other_kinds(options.file)
    if sheet.suffix.lower() != ".png" or os.path.realpath(sheet) == os.path.realpath(options.file):
        raise UserError(f"--sheet={sheet}: the contact sheet is a PNG: give a name of its own that ends in .png")
    held = trajectory.load(
        options.file, expected_task=options.task, action_repeat=options.action_repeat, memory=available()
    )
    description.refuse_other_pictures(sheet)
    odd = task_fit.compare(held, source=str(options.file)) if options.task is not None else []
    known = held.metadata.get("notes", [])
    _say(*description.describe(held), *(f"note            {line}" for line in odd if line not in known))
    few = description.sheet_part(held)
    frames = few.frames
    if frames is None:
        with tempfile.TemporaryDirectory() as folder:
            view = View(held.metadata["task"], held.metadata["action_repeat"], options.image_size or 84)
            frames = render.render(few, view, cache_dir=folder, source=str(options.file))
    elif options.image_size not in (None, frames.shape[2]):
        raise UserError(f"{options.file}: holds frames of {frames.shape[2]} pixels, not {options.image_size}")
    elif options.task is not None:
        frames = _beside_the_task(frames, held.metadata["action_repeat"], options.task)
    description.draw_sheet(sheet, frames)
    _say(f"contact sheet: {sheet}", *import_video.advice(held.metadata, frames.shape[2]))


def _beside_the_task(frames: np.ndarray, action_repeat: int, task: str) -> np.ndarray:
    """The sheet's ``frames [D,N,H,W,3]`` under a row of the task's own first frames and the demonstrations'."""
    try:
        resets = render.reset_frames(View(task, action_repeat, frames.shape[2]), first_frames.RESETS)
    except UserError as error:
        _say(f"the task's own first frames cannot be drawn beside them ({error})")
        return frames
    if odd := first_frames.compare(frames[:, 0], resets):
        _say(f"note            {odd}")
    row = np.zeros_like(frames[0])
    beside = np.concatenate([resets, frames[: len(row) - len(resets), 0]])
    row[: len(beside)] = beside
    _say("the sheet's first row: the task at four resets, and the first frame of each demonstration")
    return np.concatenate([row[None], frames])


def main(argv: Sequence[str]) -> int:
    """Does what ``argv`` asks for; returns the exit status, 130 after Ctrl-C."""
    show_log(sys.stderr)
    options = parser().parse_args(argv)
    output, previous = _output(options), signal.signal(signal.SIGTERM, _stop)
    before = _identity(output)
    try:
        options.run(options)
    except KeyboardInterrupt as interrupt:
        written = "nothing was written" if _identity(output) == before else f"{output} was written before, and is whole"
        sys.stderr.write(f"stopped; {written}\n")
        return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def _output(options: argparse.Namespace) -> Path:
    """What the verb writes: the demonstrations, or the contact sheet."""
    if "output" in options:
        return Path(options.output)
    return Path(options.sheet or options.file.parent / f"{options.file.stem or 'sheet'}.png")


def _identity(path: Path) -> tuple[int, int] | None:
    """By which a file that was replaced is told from the one before; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _stop(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C does: what is half written goes away."""
    raise KeyboardInterrupt(number)
