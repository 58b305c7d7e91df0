"""What a file of demonstrations holds, in words and as one picture."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from patchail_jax.demos.form import Demonstration, Trajectories
from patchail_jax.demos.pictures import ERRORS
from patchail_jax.errors import UserError, printable
from patchail_jax.files.trouble import not_written
from patchail_jax.files.whole_file import whole_file

SHEET_COLUMNS, SHEET_ROWS = 8, 10
_MARK = ("Software", "patchail demos inspect")  # by which a sheet is known, in the file
_STILL, _FLAT = 0.5, 2.0  # share of steps; grey levels
# A cut is a change so many times larger than those around it, and of so many grey levels. Shipped demonstrations have
# 1.4 times at most; from one into another 2.2 to 4.3 in five of the seven tasks, and not to be told in the fastest two.
_CUT, _LEAST, _AROUND = 1.8, 2.0, 3


def describe(trajectories: Trajectories) -> list[str]:
    """Lines for the terminal: counts, lengths, returns, shapes, ranges, and what looks wrong."""
    observed, steps, metadata = trajectories.observed, trajectories.steps, trajectories.metadata
    kind = "states" if trajectories.frames is None else "frames"
    each = [trajectories.demonstration(d) for d in range(len(steps))]
    shown = _range([demonstration.observed for demonstration in each])
    actions = [demonstration.actions for demonstration in each if demonstration.actions is not None]
    lengths = f"{steps.min()}" if (steps == steps[0]).all() else f"{steps.min()} to {steps.max()}"
    lines = [
        f"task            {metadata['task']}, action repeat {metadata['action_repeat']}",
        f"demonstrations  {len(observed)}, of {lengths} agent steps",
        f"{kind}          {observed.dtype} {list(observed.shape)}, {shown}",
    ]
    if trajectories.actions is None or not actions:
        lines.append("actions         none: for methods that imitate from pictures alone")
    else:
        missing = ", ".join(map(str, trajectories.without_actions))
        without = f"; demonstrations without actions: {missing}" if missing else ""
        lines.append(f"actions         {list(trajectories.actions.shape)}, {_range(actions)}{without}")
    returns = trajectories.returns
    if returns is None:
        lines.append("returns         unknown")
    else:
        listed = " ".join(f"{value:.1f}" for value in returns)
        lines.append(f"returns         mean {returns.mean():.1f}, std {returns.std():.1f}: {listed}")
    known = ("task", "action_repeat", "notes")
    lines += [f"{key:15s} {value}" for key, value in metadata.items() if key not in known]
    lines += [f"note            {note}" for note in [*_notes(metadata), *_doubts(trajectories, each)]]
    return [printable(line) for line in lines]


def draw_sheet(path: Path, frames: np.ndarray) -> None:
    """Writes ``frames [D,N,H,W,3] uint8`` as a PNG, a row each; the file appears when it is whole.

    Raises UserError where it cannot be written, and where another file than such a sheet is there.
    """
    refuse_other_pictures(path)
    rows, columns, height, width = frames.shape[:4]
    sheet = frames.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            Image.fromarray(sheet).save(unfinished, "PNG", pnginfo=_mark())
    except OSError as error:
        raise not_written(path, error) from error


def refuse_other_pictures(path: Path) -> None:
    """UserError where a file is at ``path`` that is no contact sheet of this program."""
    if not path.exists():
        return
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            ours = picture.info.get(_MARK[0]) == _MARK[1]
    except ERRORS:
        ours = False
    if not ours:
        raise UserError(
            f"{path}: is not known to be a contact sheet, and stays: remove it, or name another with --sheet"
        )


def _mark() -> PngImagePlugin.PngInfo:
    mark = PngImagePlugin.PngInfo()
    mark.add_text(*_MARK)
    return mark


def sheet_part(trajectories: Trajectories) -> Trajectories:
    """The few demonstrations and moments that a contact sheet shows, ``[D,N,...]``: from start to end of each."""
    few = trajectories.first(SHEET_ROWS)
    times = np.linspace(0, few.steps, SHEET_COLUMNS).round().astype(int).T
    states, frames = (
        None if observed is None else observed[np.arange(len(times))[:, None], times]
        for observed in (few.states, few.frames)
    )
    return few._replace(states=states, frames=frames, actions=None, rewards=None, lengths=None)


def _notes(metadata: dict[str, Any]) -> list[str]:
    """What the import had to say, where it is text."""
    notes = metadata.get("notes", [])
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def _range(parts: Sequence[np.ndarray]) -> str:
    mean = np.mean([part.mean(dtype=np.float64) for part in parts])
    return f"from {min(part.min() for part in parts):.4g} to {max(part.max() for part in parts):.4g}, mean {mean:.4g}"


def _doubts(trajectories: Trajectories, each: Sequence[Demonstration]) -> list[str]:
    """What training accepts and nobody wants."""
    doubts = []
    if trajectories.frames is not None and "recording_seed" not in trajectories.metadata:  # not played here
        parts = [demonstration.observed for demonstration in each]
        changes = [_changes(part) for part in parts]
        still = np.mean([(change == 0).mean() for change in changes])
        if still > _STILL:
            doubts.append(f"nothing moves in {100 * still:.0f}% of the steps: is the video's rate right?")
        flat = [d for d, part in enumerate(parts) if _spread(part) < _FLAT]
        if len(flat) == len(parts):
            doubts.append("the frames show one colour")
        elif flat:
            doubts.append(f"the frames of demonstrations {', '.join(map(str, flat))} show one colour")
        doubts += [f"demonstration {d}: {cuts}" for d, change in enumerate(changes) if (cuts := _cuts(change))]
    actions = [demonstration.actions for demonstration in each if demonstration.actions is not None]
    if actions and all((part == actions[0][0]).all() for part in actions):
        doubts.append("all actions are the same")
    return doubts


def _changes(frames: np.ndarray) -> np.ndarray:
    """Mean change of ``frames [T+1,H,W,3]`` from each to the next, ``[T]`` grey levels, in little memory."""
    return np.array([np.abs(later.astype(np.int16) - earlier).mean() for earlier, later in itertools.pairwise(frames)])


def _spread(frames: np.ndarray) -> float:
    """The standard deviation over all numbers."""
    means, variances = np.array([(frame.mean(), frame.var()) for frame in frames]).T
    return float(np.sqrt(variances.mean() + means.var()))


def _cuts(changes: np.ndarray) -> str:
    """Where frames change far more than around it, as from one episode to the next; "" for nowhere."""
    padded = np.pad(changes, _AROUND)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1).copy()
    around[:, _AROUND] = 0  # not its own
    found = np.flatnonzero((changes > _LEAST) & (changes > _CUT * np.maximum(around.max(axis=1), 0.5)))
    if not len(found) or len(changes) <= 2 * _AROUND:
        return ""
    times = ", ".join(str(step + 1) for step in found[:8]) + (" and later" if len(found) > 8 else "")
    return f"jumps at frame {times}: several episodes in one?"
