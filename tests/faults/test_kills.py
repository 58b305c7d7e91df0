"""A short draw of what ``make test-faults`` does at length."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("method", "kills"), [("patchail", 2), ("rot", 2), ("bc", 2)])
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(method, kills, tmp_path):
    command = [sys.executable, "-m", "tests.faults.kills", method, f"--kills={kills}"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["kills"], sum(said["in"].values())) == (kills, kills) and said["equal_ends"] >= 1
