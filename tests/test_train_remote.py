"""A run on object storage: killed, resumed on an empty machine, and the same as one that was never stopped."""

import json
import shutil
import time

import pytest

from patchail_jax import loop
from patchail_jax.launch.standing import FINISHED, GOING_ON, standing
from patchail_jax.launch.sweeps.sweep import PlannedRun
from patchail_jax.programs.command_line import parse
from patchail_jax.programs.train import train
from patchail_jax.reports.runs import find_runs
from patchail_jax.run.reopened import open_trained
from patchail_jax.storage.remote import reading_copy
from tests.storage.bucket import make_bucket
from tests.test_train import arguments, assert_same_run, lines

pytestmark = pytest.mark.usefixtures("shared_programs")

RUN = "gs://bucket/runs/x"
SHORT = ("--config.num_frames=320", "--config.checkpoint.every_frames=160", "--config.evaluation.every_frames=160")


def test_a_run_in_a_bucket_goes_on_where_nothing_is_left_of_it(tmp_path, monkeypatch):
    cache = tmp_path / "demonstrations"
    train(parse(arguments(tmp_path / "whole", cache, *SHORT, method="drqv2")).config)
    bucket = make_bucket(monkeypatch, tmp_path / "cache")
    words = arguments(RUN, cache, *SHORT, method="drqv2")
    step = loop.step

    def die(run):
        if run.clock.agent_step == 30:
            until = time.monotonic() + 60
            while "checkpoints/" not in bucket.store["/bucket/runs/x/mirror.json"].getvalue().decode():
                assert time.monotonic() < until
                time.sleep(0.05)
            bucket.left = 0  # nothing reaches the bucket any more
            raise RuntimeError("killed")
        step(run)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "step", die)
        with pytest.raises(RuntimeError, match="killed"):
            train(parse(words).config)
    shutil.rmtree(tmp_path / "cache")
    bucket.left = None
    assert standing(PlannedRun("x", RUN, tuple(words[1:]))) == GOING_ON
    assert find_runs([RUN])[0].status == "running"  # as far as anybody can tell for a while
    train(parse(words).config)
    assert_same_run(tmp_path / "whole", tmp_path / "cache" / "runs" / "gs" / "bucket" / "runs" / "x")

    assert standing(PlannedRun("x", RUN, tuple(words[1:]))) == FINISHED
    (run,) = find_runs(["gs://bucket"])
    assert run.status == "finished" and run.frames.tolist() == [0, 160, 320]
    assert lines(run.path) == lines(tmp_path / "whole")
    assert open_trained(reading_copy(RUN)).frame == 320
    assert "/bucket/runs/x/lease.json" not in bucket.store
    assert json.loads(bucket.store["/bucket/runs/x/finished.json"].getvalue()) == {"num_frames": 320}
