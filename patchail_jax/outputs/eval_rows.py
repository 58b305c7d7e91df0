"""The lines of ``eval.csv``: its header, and a row for each evaluation."""

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from patchail_jax.outputs.identity import RunIdentity

COLUMNS = (*RunIdentity._fields, "frame", "episode_reward", "hour")
HEADER = ",".join(COLUMNS) + "\n"


def row(identity: RunIdentity, frame: int, mean: float, hour: float) -> str:
    """The row of an evaluation at ``frame`` with the ``mean`` return, ``hour`` hours after the run's start."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([*identity, frame, mean, hour])
    return text.getvalue()


def row_of(identity: RunIdentity, logged: Mapping[str, Any]) -> str:
    """The row of an evaluation as metrics.jsonl has it, where a return that is no number is None."""
    mean, hour = logged["evaluation/return"], float(logged["hour"])
    return row(identity, int(logged["frame"]), math.nan if mean is None else float(mean), hour)


def frame_of(line: str) -> int:
    """The frame of a row. ``ValueError``, ``StopIteration`` or ``csv.Error`` for the header, and for what is no row."""
    fields = next(csv.reader([line]))
    if len(fields) != len(COLUMNS):
        raise ValueError
    return int(fields[COLUMNS.index("frame")])
