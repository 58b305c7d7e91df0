"""A run's evaluations as its ``eval.csv`` has them, for reports."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from patchail_jax.errors import UserError
from patchail_jax.files.lines import whole_lines
from patchail_jax.outputs.identity import RunIdentity

_COLUMNS = ("frame", "episode_reward", "hour")
_LARGEST = 1e30  # of a return: means and deviations of more overflow


class EvalCsv(NamedTuple):
    """The evaluations of one run up to the first whose return is not a finite number, by frame.

    ``frames`` and ``returns`` are ``[N]``. ``broken_at`` is the frame of that first one, None where all returns are
    finite. ``last_frame`` and ``last_hour`` are those of the last evaluation whatever its return, -1 and 0 for none.
    """

    frames: np.ndarray
    returns: np.ndarray
    broken_at: int | None
    last_frame: int
    last_hour: float


def read_eval_csv(path: Path, *, of: RunIdentity | None = None) -> EvalCsv:
    """The whole lines of an ``eval.csv``, none for no file. Of a frame that comes twice the later line counts.

    ``UserError`` names the file and the line that is no evaluation, or not one ``of`` the run.
    """
    own = {field: str(value) for field, value in of._asdict().items()} if of else {}
    reader = csv.DictReader(whole_lines(path))
    empty = not path.exists() or path.stat().st_size == 0
    found: dict[int, tuple[float, float]] = {}
    try:
        # The header is written whole: no line at all, as in the zeros that a power cut may leave, is damage too.
        if not empty and not set(_COLUMNS) <= set(reader.fieldnames or ()):
            raise UserError(f"{path} does not begin with the header of its columns: put it back, or remove the file")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError("not as many columns as in the header")
            frame, score, hour = int(np.int64(int(row["frame"]))), float(row["episode_reward"]), float(row["hour"])
            if frame < 0 or not 0 <= hour < math.inf or (math.isfinite(score) and abs(score) > _LARGEST):
                raise ValueError("a frame, a return or a time that no run has")
            found[frame] = score, hour
            if of and any(row.get(field, value) != value for field, value in own.items()):
                raise UserError(f"{path}, line {reader.line_num}, is not of the run {of.name}: put its own file back")
    except (ValueError, OverflowError, csv.Error) as error:
        line = max(reader.line_num, 1)
        raise UserError(f"{path}, line {line}, is no evaluation: correct it, or remove the line") from error
    frames = sorted(found)
    broken_at = next((frame for frame in frames if not math.isfinite(found[frame][0])), None)
    kept = [frame for frame in frames if broken_at is None or frame < broken_at]
    returns = np.asarray([found[frame][0] for frame in kept], np.float64)
    last_frame, last_hour = (frames[-1], found[frames[-1]][1]) if frames else (-1, 0.0)
    return EvalCsv(np.asarray(kept, np.int64), returns, broken_at, last_frame, last_hour)
