"""Methods over all tasks: interquartile mean, probability of improvement, performance profile (Agarwal et al. 2021)."""

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchail_jax.errors import UserError
from patchail_jax.files.whole_file import write_text
from patchail_jax.reports.published import method_label, method_order
from patchail_jax.reports.runs import Run, incomplete_lines
from patchail_jax.reports.statistics import (
    Strata,
    bootstrap_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from patchail_jax.reports.style import MUTED, STYLE, colours, legend_below, write_figure
from patchail_jax.reports.table1 import Cell, cells, default_frames
from patchail_jax.reports.text import bullets, document, table, write_csv

_THRESHOLDS = np.linspace(0.0, 1.2, 121)


class Estimate(NamedTuple):
    """A statistic at ``frame`` frames, with the ends of its 95% interval, None where a task has one seed alone.

    ``second`` is "" unless two methods are compared.
    """

    statistic: str
    frame: int
    first: str
    second: str
    value: float
    low: float | None
    high: float | None
    tasks: int
    runs: int


def scores_by_method(table: Sequence[Cell]) -> dict[str, dict[str, np.ndarray]]:
    """Divides scores by the expert's return; returns them by method and task, ``[seeds]`` each.

    A task counts where every method has a score, and where the expert's return is above 0. ``UserError`` where there
    is no such task.
    """
    scored = [cell for cell in table if cell.relative() is not None]
    methods = sorted({c.method for c in scored}, key=method_order)
    by_place = {(cell.method, cell.task): cell.scores / cell.expert_return for cell in scored if cell.expert_return}
    tasks = sorted({cell.task for cell in scored})
    shared = [task for task in tasks if all((method, task) in by_place for method in methods)]
    if not shared:
        raise UserError(_nothing_shared(table, methods))
    return {method: {task: by_place[method, task] for task in shared} for method in methods}


def _nothing_shared(table: Sequence[Cell], methods: Sequence[str]) -> str:
    """Why there is no task to compare the methods on: what each lacks."""
    lacks, remedy = [], ""
    for task in sorted({cell.task for cell in table}):
        here = [cell for cell in table if cell.task == task]
        scored, run = {cell.method for cell in here if len(cell.scores)}, {cell.method for cell in here}
        if missing := [method_label(method) for method in methods or sorted(run) if method not in scored]:
            lacks.append(f"{task} of {', '.join(missing)}")
            if run.issuperset(methods):
                remedy = "; choose others with --frames"
            remedy = remedy or "; name runs of methods that have a task in common"
        elif any(cell.relative() is None for cell in here):
            known = any(cell.expert_return is not None for cell in here)
            lacks.append(f"{task} of the expert" + ", whose return is not above 0" * known)
    frames = " and ".join(f"{frame:,}" for frame in sorted({cell.frame for cell in table}))
    return (
        f"no task has scores of every method and of the expert at {frames} frames: none are there on "
        f"{'; '.join(lacks)}{remedy}"
    )


def estimates(scores: dict[str, dict[str, np.ndarray]], frame: int) -> list[Estimate]:
    """Each method's interquartile mean, and for each two methods the probability that the first beats the second."""
    found = []
    strata = {method: list(by_task.values()) for method, by_task in scores.items()}
    for method, groups in strata.items():
        low, high = _ends([groups], interquartile_mean)
        runs = sum(map(len, groups))
        value = float(interquartile_mean(groups))
        found.append(Estimate("interquartile_mean", frame, method, "", value, low, high, len(groups), runs))
    for first, second in combinations(strata, 2):
        pair = strata[first], strata[second]
        low, high = _ends(pair, probability_of_improvement)
        runs = sum(len(group) for groups in pair for group in groups)
        value = float(probability_of_improvement(*pair))
        found.append(Estimate("probability_of_improvement", frame, first, second, value, low, high, len(pair[0]), runs))
    return found


def _ends(groups: Sequence[Strata], statistic: Callable[..., np.ndarray]) -> tuple[float | None, float | None]:
    ends = bootstrap_interval(groups, statistic)
    return (float(ends[0]), float(ends[1])) if ends else (None, None)


def write_aggregate(runs: Sequence[Run], output: Path, *, frames: Sequence[int] | None) -> list[Path]:
    """Writes ``aggregate.csv`` and ``.md``, and a figure for each number of frames; returns their paths.

    ``UserError`` where runs of one task and method are no seeds of one config (``seeds.by_name``), and where the
    methods have no task in common at one of ``frames``; at the default ones, where they have none at any.
    """
    found: list[Estimate] = []
    drawn: dict[int, Figure] = {}
    dropped: list[str] = []
    refused: UserError | None = None
    for frame in frames or default_frames(runs):
        table = cells(runs, [frame])
        try:
            scores = scores_by_method(table)
        except UserError as error:
            if frames:
                raise
            refused = refused or error
            dropped.append(f"{frame:,} frames: {error}")
            continue
        here = estimates(scores, frame)
        used = {(method, task) for method, by_task in scores.items() for task in by_task}
        for cell in table:
            if (cell.method, cell.task) not in used:
                why = f"not at {frame:,} frames for every method, or no expert whose return is above 0"
                dropped.append(f"{cell.task}, {cell.method}: {why}")
            elif len(cell.scores) < cell.runs:
                missing = cell.runs - len(cell.scores)
                dropped.append(f"{cell.task}, {cell.method}: {missing} of {cell.runs} runs not at {frame:,} frames")
        found += here
        drawn[frame] = _figure(scores, here, frame, of=len(runs))
    if refused is not None and not drawn:
        raise refused
    output.mkdir(parents=True, exist_ok=True)
    written = [output / "aggregate.csv", output / "aggregate.md"]
    write_csv(written[0], Estimate._fields, found)
    write_text(written[1], _markdown(found, dropped + incomplete_lines(runs)))
    for frame, picture in drawn.items():
        written += write_figure(picture, output / f"aggregate_{frame}")
    return written


def _markdown(found: Sequence[Estimate], remarks: Sequence[str]) -> str:
    parts = [
        "# Over all tasks\n",
        "Scores are of the evaluation nearest to the frames, relative to the expert's return. Intervals are stratified "
        "bootstraps of 95%, where each task has several seeds.\n",
    ]
    titles = {"interquartile_mean": "Interquartile mean", "probability_of_improvement": "Probability of improvement"}
    for statistic, title in titles.items():
        rows = []
        for row in found:
            if row.statistic == statistic:
                who = method_label(row.first) + (f" over {method_label(row.second)}" if row.second else "")
                ends = "-" if row.low is None else f"{row.low:.2f} to {row.high:.2f}"
                numbers = (f"{row.value:.2f}", ends, f"{row.tasks}", f"{row.runs}")
                rows.append((f"{row.frame:,}", who, *numbers))
        if rows:
            parts.append(f"## {title}\n\n{table(('frames', 'method', 'value', 'interval', 'tasks', 'runs'), rows)}")
    return document(*parts, bullets("Not in these figures, or incomplete", remarks))


def _figure(scores: dict[str, dict[str, np.ndarray]], found: Sequence[Estimate], frame: int, *, of: int) -> Figure:
    chosen = colours(list(scores))
    means = [estimate for estimate in found if not estimate.second]
    pairs = [estimate for estimate in found if estimate.second]
    tasks, runs = means[0].tasks, sum(estimate.runs for estimate in means)
    with plt.rc_context(STYLE):
        ratios = [1.0, 1.0, 1.2] if pairs else [1.0, 1.2]
        height = 1.5 + 0.22 * max(len(means), len(pairs), 4)
        size = (3.4 * len(ratios), height)
        figure, axes = plt.subplots(1, len(ratios), figsize=size, layout="constrained", width_ratios=ratios)
        _bars(axes[0], means, [method_label(row.first) for row in means], [chosen[row.first] for row in means])
        axes[0].set_xlabel("interquartile mean, share of expert")
        axes[0].set_xlim(left=min([0.0, *(row.value if row.low is None else row.low for row in means)]))
        axes[0].locator_params(axis="x", nbins=6)
        if pairs:
            labels = [f"{method_label(row.first)} > {method_label(row.second)}" for row in pairs]
            _bars(axes[1], pairs, labels, [chosen[row.first] for row in pairs])
            axes[1].axvline(0.5, color=MUTED, linestyle=":", linewidth=1)
            axes[1].set_xlim(0, 1)
            axes[1].set_xlabel("probability of improvement")
        for method, by_task in scores.items():
            strata = list(by_task.values())
            profile = performance_profile(strata, _THRESHOLDS)
            axes[-1].plot(
                _THRESHOLDS, profile, color=chosen[method], label=method_label(method), drawstyle="steps-post"
            )
            if ends := bootstrap_interval([strata], lambda groups: performance_profile(groups, _THRESHOLDS)):
                axes[-1].fill_between(_THRESHOLDS, *ends, color=chosen[method], alpha=0.13, linewidth=0, step="post")
        axes[-1].set_xlabel("score, share of expert")
        axes[-1].set_ylabel("share of runs above")
        axes[-1].set_ylim(0, 1.02)
        handles, labels = axes[-1].get_legend_handles_labels()
        legend_below(figure, dict(zip(labels, handles, strict=True)), columns=6)
        figure.suptitle(f"{frame:,} frames, {tasks} task{'s' * (tasks != 1)}, {runs} of {of} runs", fontsize=9)
    return figure


def _bars(axis: Axes, found: Sequence[Estimate], labels: Sequence[str], shades: Sequence[str]) -> None:
    """Draws each interval as a bar and its value as a tick, the first on top."""
    for number, (estimate, shade) in enumerate(zip(found, shades, strict=True)):
        if estimate.low is not None and estimate.high is not None:
            width = estimate.high - estimate.low
            axis.barh(-number, width, left=estimate.low, height=0.55, color=shade, alpha=0.45)
        axis.plot([estimate.value] * 2, [-number - 0.275, -number + 0.275], color=shade, linewidth=2)
    axis.set_yticks([-number for number in range(len(found))], labels, color="black")
    axis.set_ylim(-len(found) + 0.3, 0.7)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
