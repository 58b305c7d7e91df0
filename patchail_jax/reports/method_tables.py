"""Tables that compare the methods of several runs: over all tasks, and at equal frames of each."""

from collections.abc import Iterator, Sequence

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
    """A table of the complete runs in Markdown, nothing where there are none."""
    rows = list(_over_tasks(runs))
    return [table(_COLUMNS, rows)] if rows else []


def at_equal_frames(runs: Sequence[Run]) -> list[str]:
    """A heading and a table in Markdown; nothing where no task has two methods evaluated at one of ``FRAMES``."""
    tasks = dict.fromkeys(run.task for run in runs)
    methods = {task: _scores(run for run in runs if run.task == task) for task in tasks}
    shared = [
        frame for frame in FRAMES if any(sum(frame in row for row in own.values()) > 1 for own in methods.values())
    ]
    rows = [
        (task, method_label(method), *(f"{np.mean(row[frame]):.0f}" if frame in row else "-" for frame in shared))
        for task, own in methods.items()
        for method, row in own.items()
        if len(own) > 1 and not row.keys().isdisjoint(shared)
    ]
    return [_EQUAL, table(("task", "method", *(f"{frame:,}" for frame in shared)), rows)] if shared else []


def _scores(runs: Iterator[Run]) -> dict[str, dict[int, list[float]]]:
    """Every method's returns by frame, in the order of the paper's methods."""
    found: dict[str, dict[int, list[float]]] = {}
    for run in sorted(runs, key=lambda run: method_order(run.method)):
        row = found.setdefault(run.method, {})
        for frame, score in zip(run.frames.tolist(), run.returns.tolist(), strict=True):
            row.setdefault(frame, []).append(score)
    return found


def _over_tasks(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    """A line a method: the interquartile mean over its complete runs, with an interval where seeds say one."""
    for method in sorted({run.method for run in runs}, key=method_order):
        shares: dict[str, list[float]] = {}
        for run in runs:
            if run.method == method and run.is_complete:
                ratio = share_of_expert(run.returns[-1], run.expert_return)
                if ratio is not None:
                    shares.setdefault(run.task, []).append(ratio)
        strata = [np.asarray(values) for values in shares.values()]
        if not strata:
            continue
        ends = bootstrap_interval([strata], interquartile_mean)
        spread = " to ".join(f"{end:.0%}" for end in ends) if ends else "-"
        count = sum(map(len, strata))
        yield method_label(method), str(len(strata)), str(count), f"{interquartile_mean(strata):.0%}", spread
