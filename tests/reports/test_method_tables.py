"""Methods side by side: what is compared was measured at the same frames."""

from pathlib import Path

import numpy as np

from patchail_jax.reports.method_tables import at_equal_frames
from patchail_jax.reports.runs import Run


def run(method, returns, *, task="cheetah_run", seed=0, every=20_000):
    config = {"method": method, "env": {"task": task}, "seed": seed, "num_frames": 10**6}
    frames = every * np.arange(len(returns))
    return Run(Path("x"), config, frames, np.asarray(returns, float), "stopped", None)


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
        "| cheetah_run | PatchAIL | 2 | 2 |",
        "| cheetah_run | Shared-Encoder AIL | 5 | 6 |",
        "| cheetah_run | BC | 8 | - |",
    ]


def test_one_method_is_compared_with_nothing():
    assert at_equal_frames([]) == at_equal_frames([run("patchail", [1, 2]), run("patchail", [1, 2], seed=1)]) == []
    assert at_equal_frames([run("patchail", [1, 2]), run("drqv2", [1, 2], every=30_000)]) == []
