"""Methods side by side: what is compared was measured at the same frames, by the same seeds."""

from pathlib import Path

import numpy as np

from patchail_jax.reports.method_tables import at_equal_frames, over_tasks
from patchail_jax.reports.runs import Run


def run(method, returns, *, task="cheetah_run", seed=0, every=20_000, num_frames=10**6, status="stopped", expert=None):
    config = {"method": method, "env": {"task": task}, "seed": seed, "num_frames": num_frames}
    frames = every * np.arange(len(returns))
    return Run(Path("x"), config, frames, np.asarray(returns, float), status, expert)


def complete(seed, frames, last, *, task="cheetah_run", expert=1000.0):
    return run("patchail", [0, last], seed=seed, num_frames=frames, task=task, status="finished", expert=expert)


def test_methods_are_compared_where_two_of_them_have_been():
    runs = [
        run("bc", [9, 8]),
        run("patchail", [0, 1, 2, 3.4]),
        run("patchail", [0, 3], seed=1),  # a mean over both seeds at the first frame alone
        run("shared_encoder_ail", [0, 5, 6]),
        run("drqv2", [0, 7], every=50_000),  # never where another has been
        run("patchail", [0, 100], task="finger_spin"),  # alone on its task
    ]
    _, shown = at_equal_frames(runs)
    assert shown.splitlines() == [
        "| task | method | 20,000 | 40,000 |",
        "|---|---|---|---|",
        "| cheetah_run | PatchAIL | 2 | 2 (1 of 2) |",
        "| cheetah_run | Shared-Encoder AIL | 5 | 6 |",
        "| cheetah_run | BC | 8 | - |",
    ]


def test_one_method_is_compared_with_nothing():
    assert at_equal_frames([]) == at_equal_frames([run("patchail", [1, 2]), run("patchail", [1, 2], seed=1)]) == []
    assert at_equal_frames([run("patchail", [1, 2]), run("drqv2", [1, 2], every=30_000)]) == []


def test_a_mean_says_which_seeds_it_lacks():
    ended, begun = run("patchail", [100, 100]), run("patchail", [], seed=1)
    both = [ended, run("patchail", [900, 900, 900], seed=1), run("bc", [5, 5, 5])]
    assert "| cheetah_run | PatchAIL | 500 | 900 (1 of 2) |" in at_equal_frames(both)[1]
    assert "| cheetah_run | PatchAIL | 100 (1 of 2) |" in at_equal_frames([ended, begun, run("bc", [5, 5])])[1]


def test_over_tasks_a_method_s_runs_are_of_one_length():
    shown, *below = over_tasks([complete(0, 40_000, 100), complete(1, 400_000, 900)])
    assert "| PatchAIL | 1 | 1 | 90% | - |" in shown  # of as many runs each, the longer ones
    assert below == ["cheetah_run, PatchAIL: 1 complete run of another length than 400,000 frames left out\n"]
    runs = [complete(seed, 40_000, 100) for seed in range(2)] + [complete(2, 400_000, 900), complete(3, 800_000, 950)]
    shown, *below = over_tasks([*runs, complete(0, 800_000, 100, task="finger_spin")])  # each task has its own length
    assert "| PatchAIL | 2 | 3 | 10% | - |" in shown
    assert below == ["cheetah_run, PatchAIL: 2 complete runs of another length than 40,000 frames left out\n"]


def test_over_tasks_nothing_is_said_to_be_left_out_that_is_not_complete_or_has_no_expert():
    others = [run("patchail", [1], seed=1, expert=1000.0), complete(2, 80_000, 5, expert=None)]
    assert len(over_tasks([complete(0, 40_000, 100), *others])) == 1
    assert over_tasks(others) == []
