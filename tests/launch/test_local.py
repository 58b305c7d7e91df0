"""The local launcher with a program that finishes, crashes, refuses or waits, as it is told."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from patchail_jax.errors import UserError
from patchail_jax.launch import local
from patchail_jax.launch.table import Row, Table

FAKE = str(Path(__file__).parent / "fake_python.py")
KEY = "canary-key-of-wandb"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(local, "POLL_SECONDS", 0.02)
    monkeypatch.setenv("WANDB_API_KEY", KEY)


def launch(root, *words, sweep="figure6a"):
    fixed = ["--tasks=finger", "--seeds=0", f"--root={root}", "--config.num_frames=400", f"--python={FAKE}"]
    return local.main([sweep, *fixed, *words])


def starts(root, label):
    return [line.split() for line in (root / f"finger/patchail/{label}/seed_0/diary").read_text().splitlines()]


def test_runs_finish_are_tried_again_or_given_up_and_a_second_start_does_the_rest(tmp_path, capsys):
    assert launch(tmp_path, "--jobs=4", "--retries=2") == 1
    said = capsys.readouterr().out
    assert [len(starts(tmp_path, label)) for label in ("mean", "max", "min", "median")] == [1, 3, 3, 1]
    states = {line.split()[0].split("/")[2]: line.split()[1] for line in said.splitlines()}
    assert states == {"mean": "finished", "max": "finished", "min": "failed", "median": "refused"}
    assert "400 frames  return 12.5\n" in said
    assert (tmp_path / "finger/patchail/mean/seed_0/console.log").read_text() == "said to the console\n"

    assert launch(tmp_path, "--retries=0") == 1
    assert [len(starts(tmp_path, label)) for label in ("mean", "max", "min", "median")] == [1, 3, 4, 2]
    assert launch(tmp_path, "--retries=0", "--config.num_frames=401") == 1  # more was asked of the finished ones
    assert [len(starts(tmp_path, label)) for label in ("mean", "max")] == [2, 4]
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY not in path.read_text()
    assert KEY not in said


def test_as_many_as_asked_run_at_a_time_each_place_with_its_gpu(tmp_path):
    words = ["--tasks=finger,cheetah", "--seeds=0,1", "--config.num_frames=4"]
    assert local.main(["figure6b", *words, f"--root={tmp_path}", f"--python={FAKE}", "--jobs=3", "--gpus=5,6"]) == 0
    diaries = list(tmp_path.rglob("diary"))
    lines = [path.read_text().split() for path in diaries]
    assert len(lines) == 24 and {gpu for _, gpu in lines} == {"5", "6"}
    began = [float(start) for start, _ in lines]
    ended = [float(path.with_name("ended").read_text()) for path in diaries]
    at_once = [sum(first <= now < last for first, last in zip(began, ended, strict=True)) for now in began]
    assert max(at_once) == 3


def test_each_run_has_cores_of_its_own_and_gives_way_where_asked(tmp_path):
    here = sorted(os.sched_getaffinity(0))
    if len(here) < 2:
        pytest.skip("one core")
    seen = tmp_path / "seen"
    look = f"import os, time; time.sleep(0.3); open({str(seen)!r}, 'a').write("
    look += "f'{sorted(os.sched_getaffinity(0))} {os.getpriority(os.PRIO_PROCESS, 0)}\\n')"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{look}"\n')
    python.chmod(0o755)
    assert launch(tmp_path, "--retries=0", "--jobs=2", "--cores=1", "--idle", f"--python={python}") == 0
    found = seen.read_text().splitlines()
    assert len(found) == 4 and set(found) == {f"[{here[0]}] 19", f"[{here[1]}] 19"}


def test_the_small_benchmark_begins_with_what_is_most_worth_seeing(capsys):
    assert local.main(["small", "--dry_run", "--cores=1", "--idle", f"--python={FAKE}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("# place 0: cores ") and lines[1].endswith("; idle priority")
    assert len(lines) == 2 + 3 * (7 + 7 + 4 * 6)
    assert "--config=finger:patchail+small --config.seed=0 " in lines[2]
    assert lines[2].endswith("--config.run_folder=runs/small/finger/patchail/seed_0")


def test_one_ctrl_c_lets_runs_save_and_the_launcher_ends_as_a_shell_expects(tmp_path):
    words = ["figure7", "--tasks=finger", "--methods=patchail", f"--root={tmp_path}", f"--python={FAKE}", "--jobs=1"]
    command = [sys.executable, "-m", "patchail_jax", "launch", "local", *words, "--config.num_frames=4"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = tmp_path / "finger/patchail/pair/seed_0/console.log"
    until = time.monotonic() + 30
    while not (log.exists() and "ready" in log.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT, said
    assert "runs are saving" in said and (log.parent / "saved").exists()
    assert len(list(tmp_path.rglob("diary"))) == 1  # nothing else was started
    assert said.count("stopped") == 10


def test_a_dry_run_is_the_shell_lines_of_what_is_left(tmp_path, capsys):
    assert launch(tmp_path, "--jobs=4", "--retries=2") == 1
    capsys.readouterr()
    (tmp_path / "finger/patchail/min/seed_0/finished.json").write_text('{"num_frames": 400}')
    assert launch(tmp_path, "--dry_run", "--jobs=2", "--gpus=7", "--python=my python") == 0
    assert capsys.readouterr().out.splitlines() == [
        "# 2 at a time",
        "# place 0: CUDA_VISIBLE_DEVICES=7",
        "# place 1: CUDA_VISIBLE_DEVICES=7",
        *(f"# finished: finger/patchail/{label}/seed_0" for label in ("mean", "max", "min")),
        "'my python' -m patchail_jax.main --config=finger:patchail --config.seed=0 "
        "--config.reward.aggregation=median --config.num_frames=400 "
        f"--config.run_folder={tmp_path}/finger/patchail/median/seed_0",
    ]


def test_a_run_imports_no_file_of_the_folder_that_one_is_in(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit(3)\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import numpy"\n')
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert launch(tmp_path / "runs", "--retries=0", "--jobs=2", f"--python={python}") == 0


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--jobs=0", "at least one run"),
        ("--root=ftp://host/x", "cannot be opened"),
        ("--cores=-1", "--cores is -1"),
        ("--cores=100000", "needs 100000 cores; there are"),
    ],
)
def test_bad_flags_are_named(tmp_path, word, message):
    with pytest.raises(UserError, match=message):
        launch(tmp_path, word)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_s_table_is_drawn_over():
    rows = [Row("a/b", "running", 1, 1000, 3.25), Row("a/cd", "waiting", 0, 0, None), Row("e", "finished", 1, 9, 1.0)]
    stream = Terminal()
    table = Table(stream)
    table.show(rows)
    first = "a/b   running       1,000 frames  return 3.2\n1 finished, 1 running, 1 waiting\n"
    assert stream.getvalue() == first
    table.show([rows[0]._replace(tries=2), *rows[1:]])
    again = first.replace("3.2\n", "3.2  start 2\n")
    assert stream.getvalue() == f"{first}\x1b[2F\x1b[J{again}"
    table.say("hello")
    assert stream.getvalue().endswith("\x1b[2F\x1b[Jhello\n")
