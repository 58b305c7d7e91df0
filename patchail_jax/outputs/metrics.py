"""What a run's numbers are written to, and what is kept of them when a run resumes.

========================  ==============================================================
console                   the few numbers of ``_CONSOLE``, and each evaluation's return
``metrics.jsonl``         every scalar, of training and of evaluations
``eval.csv``              each evaluation's return
``histograms.jsonl``      each evaluation's histograms
dashboards                everything above, and films (see ``dashboards.py``)
========================  ==============================================================
"""

import contextlib
import csv
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from patchail_jax.errors import one_line
from patchail_jax.files.append import append
from patchail_jax.files.json_objects import parsed
from patchail_jax.files.lines import whole_lines
from patchail_jax.files.trouble import not_written
from patchail_jax.files.whole_file import write_text
from patchail_jax.outputs.dashboards import Dashboard, Kind
from patchail_jax.outputs.duration import duration
from patchail_jax.outputs.eval_rows import HEADER, frame_of, row, row_of
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.outputs.optional import LONGEST, OptionalOutputs
from patchail_jax.storage.run_folder import RunFolder

_log = logging.getLogger(__name__)

# What a line raises that this program did not write.
_DAMAGED = (ValueError, LookupError, TypeError, AttributeError, StopIteration, csv.Error)

# Console: the few numbers that tell whether a run is well, short name first. The rest is in the JSONL.
_CONSOLE = (
    ("return", "episode/training_return", ".1f"),
    ("D loss", "discriminator/classification", ".3f"),
    ("D expert", "discriminator/expert_logit", "+.2f"),
    ("D agent", "discriminator/agent_logit", "+.2f"),
    ("reward", "reward/mean", "+.3f"),
    ("Q", "critic/value", "+.2f"),
    ("log pi(a_E)", "cloning/log_likelihood", "+.2f"),
    ("updates/s", "time/updates_per_second", ".1f"),
)


class Metrics:
    """Writes each number as it comes. Every file is whole up to its last line.

    A line that cannot be written is lost with a warning, whatever the error of the disk, and the run goes on;
    ``UserError`` where the folder is another run's by now.
    Nothing is written, and ``open_dashboards`` is not called, until the run begins or resumes: before that it may be
    refused.
    """

    def __init__(
        self, run: RunFolder, identity: RunIdentity, open_dashboards: Callable[[], Sequence[Dashboard]] = tuple
    ) -> None:
        self._run, self._identity, self._open_dashboards = run, identity, open_dashboards
        self._dashboards: Sequence[Dashboard] | None = None  # not open yet
        self._optional = OptionalOutputs()
        self._files = (run.metrics_jsonl, run.histograms_jsonl, run.eval_csv)

    def looked_at(self, kind: str) -> AbstractContextManager[None]:
        """For a block that writes something to look at: its failure is one warning for each ``kind``."""
        return self._optional.looked_at(kind)

    def train(self, scalars: Mapping[str, float], *, frame: int, update: int, hour: float) -> None:
        """Means over the updates since the last call. ``frame`` and ``update`` are counters, ``hour`` wall time."""
        parts = [f"{name} {scalars[key]:{form}}" for name, key, form in _CONSOLE if key in scalars]
        _log.info("train  %9s frames  %8s updates  %s", f"{frame:,}", f"{update:,}", "  ".join(parts))
        self._write("train", {"update": update, "hour": hour, **scalars}, frame)

    def evaluation(
        self, returns: np.ndarray, *, frame: int, hour: float, hours_left: float = 0.0, scalars: Mapping[str, float]
    ) -> None:
        """The returns ``[episodes]`` of one evaluation, by the task's own reward; ``hours_left`` 0 is not shown."""
        mean, std = float(np.mean(returns)), float(np.std(returns))
        _log.info(
            "eval   %9s frames  return %.1f +- %.1f over %d episode%s  %s%s",
            f"{frame:,}",
            mean,
            std,
            len(returns),
            "s" * (len(returns) != 1),
            duration(hour),
            f", {duration(hours_left)} left" if hours_left else "",
        )
        named = {"evaluation/return": mean, "evaluation/return_std": std, "hour": hour, **scalars}
        self._write("evaluation", named, frame)
        # A run folder that was removed meanwhile begins again with the header.
        header = "" if _has_lines(self._run.eval_csv) else HEADER
        _append_line(self._run.eval_csv, header + row(self._identity, frame, mean, hour))

    def histogram(self, name: str, counts: np.ndarray, edges: np.ndarray, *, frame: int) -> None:
        """``counts [N]`` of the values between ``edges [N+1]``."""
        line = {"frame": frame, "name": name, "counts": counts.tolist(), "edges": [float(f"{e:.6g}") for e in edges]}
        with self.looked_at("histograms"):
            append(self._run.histograms_jsonl, (json.dumps(line) + "\n").encode())
        self._show(lambda dashboard: dashboard.histogram(name, counts, edges, frame=frame))

    def film(self, name: str, path: Path, images: np.ndarray, *, fps: float, frame: int) -> None:
        """A film for the dashboards: the file ``path``, and what is in it, ``images [T,H,W,3] uint8``."""
        self._show(lambda dashboard: dashboard.film(name, path, images, fps=fps, frame=frame))

    def begin(self) -> None:
        """Begins the logs of a run that has no checkpoint.

        It was killed before its first, or they are gone. Logs with an evaluation after the first frame are kept beside
        the new ones, under names of their own: what was learned may not come again as it was.
        """
        if self._last_evaluation() > 0:
            kept = [_set_aside(path) for path in self._files if path.exists()]
            _log.warning(
                "there is no checkpoint: the run begins anew, and keeps its former logs as %s", ", ".join(kept)
            )
        self.rewind(-1, update=0, next_evaluation_frame=0)

    def rewind(self, frame: int, *, update: int, next_evaluation_frame: int) -> None:
        """Forgets what a run that resumes at ``frame`` and ``update`` will log again.

        That is training rows after ``frame`` or ``update``, and from ``next_evaluation_frame`` on what evaluations
        wrote. Half a line, which a kill may leave, goes too, and so does a damaged one, with a warning. What eval.csv
        lacks of metrics.jsonl's evaluations comes back, with a warning. ``UserError`` where a file cannot be written:
        this is the start of a run, when somebody can still free space.
        """

        def keeps_json(line: str) -> bool:
            entry = parsed(line)
            if entry.get("kind") == "train":  # the rest comes from evaluations
                return bool(entry["frame"] <= frame and entry["update"] <= update)
            return bool(entry["frame"] < next_evaluation_frame)

        def keeps_csv(line: str) -> bool:
            return line == HEADER or frame_of(line) < next_evaluation_frame

        for path, keep in zip(self._files, (keeps_json, keeps_json, keeps_csv), strict=True):
            _keep_lines(path, keep)
        self._complete_csv()
        if self._dashboards is None:
            self._dashboards = self._open_dashboards()
        self._show(
            lambda dashboard: dashboard.rewind(frame, update=update, next_evaluation_frame=next_evaluation_frame)
        )

    def close(self) -> None:
        """Closes the dashboards."""
        self._show(lambda dashboard: dashboard.close())

    def _complete_csv(self) -> None:
        """Gives eval.csv its header, and the rows that metrics.jsonl alone has: the file, or a line of it, was lost."""
        rows = [line for line in whole_lines(self._run.eval_csv) if line != HEADER]
        held, lost = {frame_of(line) for line in rows}, []
        for line in whole_lines(self._run.metrics_jsonl):
            entry = parsed(line)
            if entry.get("kind") == "evaluation" and entry["frame"] not in held:
                with contextlib.suppress(*_DAMAGED):
                    lost.append(row_of(self._identity, entry))
        if lost:
            number = f"{len(lost)} evaluation{'s' * (len(lost) != 1)}"
            _log.warning("eval.csv lacked %s, now written again from metrics.jsonl", number)
        _replace(self._run.eval_csv, "".join([HEADER, *sorted(rows + lost, key=frame_of)]))

    def _last_evaluation(self) -> int:
        """The frame of the last whole row of eval.csv, -1 if there is none."""
        frames = []
        for line in whole_lines(self._run.eval_csv):
            with contextlib.suppress(*_DAMAGED):
                frames.append(frame_of(line))
        return max(frames, default=-1)

    def _write(self, kind: Kind, scalars: Mapping[str, float], frame: int) -> None:
        self._run.refuse_another()
        clean = {key: value if math.isfinite(value) else None for key, value in scalars.items()}
        _append_line(self._run.metrics_jsonl, json.dumps({"kind": kind, "frame": frame, **clean}) + "\n")
        self._show(lambda dashboard: dashboard.scalars(kind, scalars, frame=frame))

    def _show(self, action: Callable[[Dashboard], None]) -> None:
        """``action`` on each dashboard. One that fails costs a warning, and the others nothing."""
        for dashboard in self._dashboards or ():
            with self.looked_at(dashboard.title):
                action(dashboard)


def _has_lines(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _keep_lines(path: Path, keeps: Callable[[str], bool]) -> None:
    """Drops the other lines of ``path``, if there is such a file, and those that ``keeps`` cannot read."""
    if not path.exists():
        return
    kept = []
    for number, line in enumerate(whole_lines(path), 1):
        try:
            kept += [line] * keeps(line)
        except _DAMAGED:
            _log.warning("line %d of %s is damaged, and left out", number, path)
    _replace(path, "".join(kept))


def _replace(path: Path, text: str) -> None:
    """Makes ``text`` all that is in ``path``; a file that is so already is left alone."""
    if path.exists() and path.read_bytes() == text.encode():
        return
    try:
        write_text(path, text)
    except OSError as error:
        raise not_written(path, error) from error


def _set_aside(path: Path) -> str:
    """Renames ``path`` to a name that is free, and returns that."""
    number = 1
    while (free := path.with_name(f"{path.stem}.before_{number}{path.suffix}")).exists():
        number += 1
    path.rename(free)
    return free.name


def _append_line(path: Path, line: str) -> None:
    """Adds a line; one that cannot be written is lost, and said to be, each time."""
    try:
        append(path, line.encode())
    except OSError as error:
        _log.warning(
            "a line of %s could not be written (%s), and the run goes on. Free some space, or check the disk",
            path.name,
            error.strerror or one_line(error, LONGEST),
        )
