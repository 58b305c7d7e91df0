"""The SLURM launcher, with submitit's local executor in the cluster's place."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
import submitit

from patchail_jax.errors import UserError
from patchail_jax.launch import slurm
from tests.launch.test_local import FAKE, KEY

WORDS = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0", "--config.num_frames=400", f"--python={FAKE}"]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.02)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def warn(controller):
    """SLURM's warning, to every process of the task."""
    (task,) = children(controller)
    (run,) = children(task)
    for pid in (run, task):
        os.kill(pid, signal.SIGUSR2)


def diary(root, label):
    path = root / f"finger/patchail/{label}/seed_0/diary"
    return path.read_text().splitlines() if path.exists() else []


def test_a_task_that_loses_its_place_saves_and_runs_again(tmp_path, capsys, monkeypatch):
    submitted = []
    submit = slurm.submit
    monkeypatch.setattr(slurm, "submit", lambda *args, **kwargs: submitted.extend(submit(*args, **kwargs)) or submitted)
    assert slurm.main([*WORDS, f"--root={tmp_path}", "--cluster=local"]) == 0
    assert len(submitted) == 2 and all(job.job_id in capsys.readouterr().out for job in submitted[:1])
    pair, single = submitted
    folder, until = tmp_path / "finger/patchail/pair/seed_0", time.monotonic() + 30
    while "ready" not in (pair.stdout() or "") and time.monotonic() < until:
        time.sleep(0.1)
    warn(pair._process.pid)
    assert pair.result() == single.result() == 0
    assert (folder / "saved").exists()
    assert (len(diary(tmp_path, "pair")), len(diary(tmp_path, "single"))) == (2, 1)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()

    submitted.clear()
    assert slurm.main([*WORDS, f"--root={tmp_path}", "--cluster=local"]) == 0
    assert not submitted and capsys.readouterr().out == "nothing is left to do\n"


def test_a_task_s_exit_status_reaches_the_scheduler():
    with pytest.raises(RuntimeError, match=r"status 3: .* -c 'import sys; sys.exit\(3\)'"):
        slurm.Task([sys.executable, "-c", "import sys; sys.exit(3)"])()


def test_a_dry_run_prints_the_parameters_and_the_commands(capsys):
    words = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0", "--python=python", "--partition=a b"]
    assert slurm.main([*words, "--config.demos.path=it's here", "--dry_run", "--root=/shared/runs"]) == 0
    golden = Path(__file__).parent / "golden/slurm.txt"
    assert capsys.readouterr().out == golden.read_text()


def test_a_machine_without_slurm_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no SLURM here"):
        slurm.main([*WORDS, f"--root={tmp_path}"])


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install -e .\[launch\]"):
        slurm.main([*WORDS, f"--root={tmp_path}"])
    assert submitit.__version__
