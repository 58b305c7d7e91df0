"""A short draw of what ``make test-faults`` does at length."""

import json
import os
import subprocess
import sys

import pytest

KILLS = 2


@pytest.mark.parametrize(
    "method", ["patchail", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rot", "bc"))]
)
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(method, tmp_path):
    command = [sys.executable, "-m", "tests.faults.kills", method, f"--kills={KILLS}"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["kills"], sum(said["in"].values())) == (KILLS, KILLS) and said["equal_ends"] >= 1
