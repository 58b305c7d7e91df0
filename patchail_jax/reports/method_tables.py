"""Tables that compare the methods of several runs: over all tasks, and at equal frames of each."""

import collections
from collections.abc import Iterable, Sequence

import numpy as np

from patchail_jax.reports.published import method_label, method_order
from patchail_jax.reports.runs import Run, share_of_expert
from patchail_jax.reports.statistics import bootstrap_interval, interquartile_mean
from patchail_jax.reports.text import table

FRAMES = (20_000, 40_000, 60_000, 80_000, 120_000, 160_000, 240_000, 320_000)
_COLUMNS = (
    "method", "tasks", "complete runs", "interquartile mean of their last returns, % of expert", "95% interval"
)  # fmt: skip
_EQUAL = """\
### At equal frames

Returns at the same number of frames, the mean where there are several seeds, for tasks with several methods. BC plays
nothing: its frames count updates.
"""


def over_tasks(runs: Sequence[Run]) -> list[str]:
    """A table of the complete runs in Markdown, nothing where there are none.

    Of a method and task, the runs of one length alone: lines below the table count the others. A method has an interval
    where each of its tasks has several seeds.
    """
    rows, others = [], []
    for method in sorted({run.method for run in runs}, key=method_order):
        strata = []
        for task in dict.fromkeys(run.task for run in runs if run.method == method):
            shares = _by_length(run for run in runs if (run.method, run.task) == (method, task))
            if not shares:
                continue
            length = max(shares, key=lambda length: (len(shares[length]), length))
            strata.append(np.asarray(shares.pop(length)))
            if left := sum(map(len, shares.values())):
                others.append(
                    f"{task}, {method_label(method)}: {left} complete run{'s' * (left > 1)} of another length than "
                    f"{length:,} frames left out\n"
                )
        if strata:
            ends = bootstrap_interval([strata], interquartile_mean)
            spread = " to ".join(f"{end:.0%}" for end in ends) if ends else "-"
            counts = str(len(strata)), str(sum(map(len, strata)))
            rows.append((method_label(method), *counts, f"{interquartile_mean(strata):.0%}", spread))
    return [table(_COLUMNS, rows), *others] if rows else []


def _by_length(runs: Iterable[Run]) -> dict[int, list[float]]:
    """The last returns of the complete runs, as shares of the expert's, by the run's number of frames."""
    shares = collections.defaultdict[int, list[float]](list)
    for run in runs:
        if run.is_complete and (ratio := share_of_expert(run.returns[-1], run.expert_return)) is not None:
            shares[run.num_frames].append(ratio)
    return shares


def at_equal_frames(runs: Sequence[Run]) -> list[str]:
    """A heading and a table in Markdown; nothing where no task has two methods evaluated at one of ``FRAMES``.

    A mean that lacks seeds says how many it has: a curve may rise because a weak seed ended.
    """
    tasks = dict.fromkeys(run.task for run in runs)
    methods = {task: _scores(run for run in runs if run.task == task) for task in tasks}
    seeds = collections.Counter((run.task, run.method) for run in runs)
    shared = [
        frame for frame in FRAMES if any(sum(frame in row for row in own.values()) > 1 for own in methods.values())
    ]
    rows = [
        (task, method_label(method), *(_mean(row.get(frame), of=seeds[task, method]) for frame in shared))
        for task, own in methods.items()
        for method, row in own.items()
        if len(own) > 1 and not row.keys().isdisjoint(shared)
    ]
    return [_EQUAL, table(("task", "method", *(f"{frame:,}" for frame in shared)), rows)] if shared else []


def _mean(scores: Sequence[float] | None, *, of: int) -> str:
    """The mean, and how many of its seeds it has where it lacks some; a dash where it has none."""
    if scores is None:
        return "-"
    return f"{np.mean(scores):.0f}" + (f" ({len(scores)} of {of})" if len(scores) < of else "")


def _scores(runs: Iterable[Run]) -> dict[str, dict[int, list[float]]]:
    """Every method's returns by frame, in the order of the paper's methods."""
    found: dict[str, dict[int, list[float]]] = {}
    for run in sorted(runs, key=lambda run: method_order(run.method)):
        row = found.setdefault(run.method, {})
        for frame, score in zip(run.frames.tolist(), run.returns.tolist(), strict=True):
            row.setdefault(frame, []).append(score)
    return found
