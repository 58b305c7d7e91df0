"""Statistics against closed forms."""

import numpy as np
import pytest

from patchail_jax.reports.statistics import (
    bootstrap_interval,
    interquartile_mean,
    interval,
    on_grid,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)


def test_the_interquartile_mean_leaves_a_quarter_out_at_each_end():
    assert interquartile_mean([np.array([0.0, 1.0]), np.array([2.0, 1000.0])]) == 1.5
    assert interquartile_mean([np.arange(8.0)]) == pytest.approx(np.arange(2, 6).mean())
    assert interquartile_mean([np.array([3.0])]) == 3.0


def test_each_task_counts_alike_however_many_seeds_it_has():
    lone, twice = np.array([9.0]), np.array([1.0, 3.0])
    assert interquartile_mean([lone, twice]) == 6.0  # of 1, 3, 9, 9
    assert interquartile_mean([lone, twice]) == interquartile_mean([lone, np.repeat(twice, 3)])
    np.testing.assert_array_equal(performance_profile([lone, twice], np.array([0.0, 2.0, 5.0])), [1.0, 0.75, 0.5])


def test_an_interval_needs_several_seeds_of_each_task():
    lone, twice = np.array([0.9]), np.array([0.1, 0.3])
    assert bootstrap_interval([[lone, twice]], interquartile_mean) is None
    assert bootstrap_interval([[twice], [lone]], probability_of_improvement) is None
    low, high = bootstrap_interval([[twice, twice]], interquartile_mean)
    assert (low, high) == pytest.approx((0.1, 0.3))


def test_the_probability_of_improvement_counts_pairs_within_tasks():
    first, second = [np.array([1.0, 3.0]), np.array([5.0])], [np.array([2.0, 3.0]), np.array([0.0])]
    # Task 1: 1 beats none, 3 beats 2 and ties with 3: 1.5 of 4. Task 2: always.
    assert probability_of_improvement(first, second) == pytest.approx((1.5 / 4 + 1.0) / 2)
    assert probability_of_improvement(first, second) + probability_of_improvement(second, first) == pytest.approx(1.0)


def test_a_profile_is_the_share_of_runs_above_each_threshold():
    strata = [np.array([0.25, 0.5]), np.array([0.75, 1.0])]
    np.testing.assert_array_equal(performance_profile(strata, np.array([0.0, 0.25, 0.6, 1.0])), [1.0, 0.75, 0.5, 0.0])


def test_the_bootstrap_of_a_mean_has_the_standard_error_of_a_mean():
    scores = np.random.default_rng(1).normal(size=50)
    samples = stratified_bootstrap([[scores]], lambda strata: strata[0].mean(axis=-1), repetitions=20_000)
    assert samples.mean() == pytest.approx(scores.mean(), abs=5e-3)
    assert samples.std() == pytest.approx(scores.std() / np.sqrt(50), rel=0.02)
    low, high = interval(samples)
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / np.sqrt(50), rel=0.04)


def test_the_bootstrap_keeps_the_tasks_apart():
    strata = [np.zeros(3), np.full(5, 10.0)]  # no difference within a task, so none between resamplings
    samples = stratified_bootstrap([strata], interquartile_mean)
    np.testing.assert_array_equal(samples, float(interquartile_mean(strata)))


def test_the_bootstrap_is_the_same_each_time_and_differs_by_seed():
    strata = [[np.arange(5.0)]]
    first, again, other = (stratified_bootstrap(strata, interquartile_mean, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_each_group_is_resampled_by_itself():
    same = [np.arange(6.0)]
    samples = stratified_bootstrap([same, same], probability_of_improvement)
    assert samples.std() > 0.05 and samples.mean() == pytest.approx(0.5, abs=0.02)


def test_a_run_is_nowhere_before_its_first_and_after_its_last_evaluation():
    values = on_grid(np.array([10, 20]), np.array([1.0, 3.0]), np.array([0, 10, 15, 20, 30]))
    np.testing.assert_array_equal(values, [np.nan, 1.0, 2.0, 3.0, np.nan])
