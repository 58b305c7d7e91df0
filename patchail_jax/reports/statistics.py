"""Statistics over a few seeds, after Agarwal et al. 2021, "Deep RL at the Edge of the Statistical Precipice".

Scores come as strata: one array ``[...,seeds]`` for each task. Tasks may have different numbers of seeds, and count
alike all the same. The result has the leading axes of the strata.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

Strata = Sequence[np.ndarray]

REPETITIONS = 2000


def _pooled(strata: Strata) -> np.ndarray:
    """All scores ``[...,N]``, each as often as gives every task equally many."""
    number = math.lcm(*(scores.shape[-1] for scores in strata))
    return np.concatenate([np.repeat(scores, number // scores.shape[-1], axis=-1) for scores in strata], axis=-1)


def interquartile_mean(strata: Strata) -> np.ndarray:
    """The mean of the middle half of all scores: a quarter of them, rounded down, is left out at each end."""
    ordered = np.sort(_pooled(strata), axis=-1)
    count = ordered.shape[-1]
    return ordered[..., count // 4 : count - count // 4].mean(axis=-1)


def probability_of_improvement(first: Strata, second: Strata) -> np.ndarray:
    """The mean over tasks of P(a run of ``first`` beats one of ``second``): Mann-Whitney's U / (n m), ties half."""
    differences = [one[..., :, None] - other[..., None, :] for one, other in zip(first, second, strict=True)]
    return np.mean([((gap > 0) + 0.5 * (gap == 0)).mean(axis=(-2, -1)) for gap in differences], axis=0)


def performance_profile(strata: Strata, thresholds: np.ndarray) -> np.ndarray:
    """The share ``[...,K]`` of all scores above each of ``thresholds [K]``."""
    scores = _pooled(strata)
    return (scores[..., None, :] > thresholds[:, None]).mean(axis=-1)


def stratified_bootstrap(
    groups: Sequence[Strata],
    statistic: Callable[..., np.ndarray],
    *,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> np.ndarray:
    """``statistic(*groups)`` on ``repetitions`` resamplings, ``[repetitions,...]``.

    Seeds are drawn with replacement within each task and group; the tasks stay as they are.
    """
    rng = np.random.default_rng(seed)

    def resampled(strata: Strata) -> list[np.ndarray]:
        return [scores[rng.integers(len(scores), size=(repetitions, len(scores)))] for scores in strata]

    return statistic(*map(resampled, groups))


def interval(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95% percentile interval of bootstrap ``samples [repetitions,...]``: its low and high ends ``[...]``."""
    low, high = np.quantile(samples, [0.025, 0.975], axis=0)
    return low, high


def bootstrap_interval(
    groups: Sequence[Strata], statistic: Callable[..., np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """The 95% interval of ``statistic(*groups)``; None where a task of theirs has one seed alone.

    Resampling one seed gives that seed: an interval that takes its score for certain.
    """
    if any(scores.shape[-1] < 2 for strata in groups for scores in strata):
        return None
    return interval(stratified_bootstrap(groups, statistic))


def on_grid(frames: np.ndarray, returns: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """One run's returns at the frames of ``grid``, linear between evaluations, NaN where the run has not been."""
    return np.interp(grid, frames, returns, left=np.nan, right=np.nan)
