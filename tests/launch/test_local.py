"""The local launcher with a program that finishes, crashes, refuses or waits, as it is told."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from patchail_jax.errors import UserError
from patchail_jax.launch import local, places
from patchail_jax.storage.run_folder import is_running

FAKE = str(Path(__file__).parent / "fake_python.py")
KEY = "canary-key-of-wandb"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(local, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(places, "available", lambda: 2**40)  # whatever else this machine does
    monkeypatch.setenv("WANDB_API_KEY", KEY)


def launch(root, *words, sweep="figure6a"):
    fixed = ["--tasks=finger", "--seeds=0", f"--root={root}", "--config.num_frames=400", f"--python={FAKE}"]
    return local.main([sweep, *fixed, *words])


def starts(root, label):
    return [line.split() for line in (root / f"finger/patchail/{label}/seed_0/diary").read_text().splitlines()]


local_states = ("running", "crashed", "finished", "failed", "refused", "stopped", "elsewhere")


def test_runs_finish_are_tried_again_or_given_up_and_a_second_start_does_the_rest(tmp_path, capsys):
    assert launch(tmp_path, "--jobs=4", "--retries=2") == 1
    said = capsys.readouterr().out
    assert [len(starts(tmp_path, label)) for label in ("mean", "max", "min", "median")] == [1, 3, 3, 1]
    rows = [line.split() for line in said.splitlines() if line.split()[1] in local_states]
    states = {words[0].split("/")[2]: words[1] for words in rows}
    assert states == {"mean": "finished", "max": "finished", "min": "failed", "median": "refused"}
    assert "400 frames  return 12.5\n" in said and said.endswith("1 failed, 2 finished, 1 refused of 4 runs\n")
    log = tmp_path / "finger/patchail/{}/seed_0/console.log"
    assert Path(str(log).format("mean")).read_text() == "said to the console\n"
    refused, failed, again = (str(log).format(label) for label in ("median", "min", "max"))
    whole = "(all it said: {})\n"
    assert f"/median/seed_0 is refused: error: no such thing as [red]this[/red] {whole.format(refused)}" in said
    assert f"/min/seed_0 ended with status 1: said to the console {whole.format(failed)}" in said
    assert (
        said.count(f"/max/seed_0 ended with SIGKILL, and is tried again: said to the console {whole.format(again)}")
        == 2
    )

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
    assert len(lines) == 24
    assert {tuple(place) for _, *place in lines} == {("5", "5", "0.450"), ("6", "6", "-")}  # two runs on 5, one on 6
    began = [float(start) for start, *_ in lines]
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
    assert len(lines) == 2 + 3 * (7 + 7 + 4 * 8)
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
    assert "waiting for runs to save" in said and (log.parent / "saved").exists()
    assert len(list(tmp_path.rglob("diary"))) == 1  # nothing else was started
    assert said.count(" stopped ") == 2  # the one that ran, and the totals
    assert said.endswith("10 stopped of 10 runs\n")


def test_another_ctrl_c_kills_the_runs_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_SAVE_SECONDS", "60")
    process = start(tmp_path, "--seeds=0", "--jobs=1")
    log = tmp_path / "finger/patchail/pair/seed_0/console.log"
    wait_for(log)
    while "ready" not in log.read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = [next(line for line in iter(process.stdout.readline, "") if "Ctrl-C again to kill them" in line)]
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=30)[0].splitlines()
    assert process.returncode == 128 + signal.SIGINT, said
    assert "finger/patchail/pair/seed_0 was killed before it had saved: the next start resumes" in "\n".join(said)
    assert "2 stopped of 2 runs" in said and "stopped" in said and "running of" not in "\n".join(said)
    assert not (log.parent / "saved").exists() and not is_running(log.parent)


def test_a_process_that_was_killed_is_seen_to(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_SAVE_SECONDS", "60")
    words = ["--config=finger:patchail", "--config.num_frames=4"]
    folder = tmp_path / "finger/patchail/pair/seed_0"
    job = local.Job(local.PlannedRun("pair", str(folder), (*words, f"--config.run_folder={folder}")))
    jobs = local.Jobs([job], places.make_places(1, gpus=(), cores=0, idle=False), python=FAKE, retries=0)
    jobs.advance()
    process = job.process
    wait_for(job.log)
    jobs.end(signal.SIGKILL, 30)
    assert job.status == "stopped" and "was killed before it had saved" in job.words
    assert process.returncode == -signal.SIGKILL and not Path(f"/proc/{process.pid}").exists()


def test_a_reason_is_none_of_an_earlier_start(tmp_path, capsys):
    log = tmp_path / "finger/patchail/min/seed_0/console.log"
    log.parent.mkdir(parents=True)
    log.write_text("error: no space is left where it goes: free some\n")
    assert launch(tmp_path, "--retries=0", "--jobs=4") == 1
    assert f"/min/seed_0 ended with status 1: said to the console (all it said: {log})" in capsys.readouterr().out
    assert log.read_text().startswith("error: no space is left")


def test_a_dry_run_is_the_shell_lines_of_what_is_left(tmp_path, capsys):
    assert launch(tmp_path, "--jobs=4", "--retries=2") == 1
    capsys.readouterr()
    (tmp_path / "finger/patchail/min/seed_0/finished.json").write_text('{"num_frames": 400}')
    assert launch(tmp_path, "--dry_run", "--jobs=2", "--gpus=7", "--python=my python") == 0
    assert capsys.readouterr().out.splitlines() == [
        "# 2 at a time",
        *(
            f"# place {slot}: CUDA_VISIBLE_DEVICES=7 MUJOCO_EGL_DEVICE_ID=7 XLA_PYTHON_CLIENT_MEM_FRACTION=0.450"
            for slot in range(2)
        ),
        *(f"# finished: finger/patchail/{label}/seed_0" for label in ("mean", "max", "min")),
        "'my python' -m patchail_jax.main --config=finger:patchail --config.seed=0 "
        "--config.platform=gpu --config.reward.aggregation=median --config.num_frames=400 "
        f"--config.run_folder={tmp_path}/finger/patchail/median/seed_0",
    ]


def test_a_run_imports_no_file_of_the_folder_that_one_is_in(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit(3)\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import numpy"\n')
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert launch(tmp_path / "runs", "--retries=0", "--jobs=2", f"--python={python}") == 0


def test_whatever_goes_wrong_in_the_launcher_lets_its_runs_save(tmp_path, monkeypatch):
    log = tmp_path / "finger/patchail/pair/seed_0/console.log"

    def fail_once_ready(*arguments):
        if log.exists() and "ready" in log.read_text():
            raise ZeroDivisionError("a fault of the table")

    monkeypatch.setattr(local, "_show", fail_once_ready)
    with pytest.raises(ZeroDivisionError):
        launch(tmp_path, "--methods=patchail", "--jobs=2", sweep="figure7")
    assert (log.parent / "saved").exists() and not is_running(log.parent)


def test_a_damaged_line_costs_no_run_anything(tmp_path):
    for label, name in (("mean", "metrics.jsonl"), ("max", "eval.csv")):
        folder = tmp_path / f"finger/patchail/{label}/seed_0"
        folder.mkdir(parents=True)
        (folder / name).write_text('{"frame": 10\nagent,task,seed,fra\n')
    assert launch(tmp_path, "--jobs=2", "--retries=2") == 1
    assert all((tmp_path / f"finger/patchail/{label}/seed_0/ended").exists() for label in ("mean", "max"))


def test_a_run_whose_folder_cannot_be_made_is_one_line_and_the_others_go_on(tmp_path, capsys):
    (tmp_path / "finger/patchail").mkdir(parents=True)
    (tmp_path / "finger/patchail/min").write_text("a file")
    assert launch(tmp_path, "--jobs=1", "--retries=2") == 1
    said = capsys.readouterr().out
    assert "finger/patchail/min/seed_0 cannot be started: Not a directory: " in said and "Traceback" not in said
    assert said.endswith("2 finished, 2 refused of 4 runs\n")


def test_a_python_that_is_none_is_one_line(tmp_path, capsys):
    with pytest.raises(UserError, match="--python is '/nonexistent/python', which is no program"):
        launch(tmp_path / "runs", "--python=/nonexistent/python")
    assert not (tmp_path / "runs").exists()
    program = tmp_path / "python"
    program.write_bytes(b"\0not a program of this machine")
    program.chmod(0o755)
    assert launch(tmp_path / "runs", f"--python={program}") == 1
    assert capsys.readouterr().out.count("cannot be started: Exec format error: ") == 4


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--jobs=0", "argument --jobs: '0' is no whole number from 1; patchail launch local --help lists the flags"),
        ("--jobs=2.5", "argument --jobs: '2.5' is no whole number from 1"),
        ("--cores=-1", "argument --cores: '-1' is no whole number from 0"),
        ("--retries=-3", "argument --retries: '-3' is no whole number from 0"),
        ("--cores=100000", "needs 100000 cores; there are"),
        ("--root=ftp://host/x", "cannot be opened"),
    ],
)
def test_bad_flags_are_named(tmp_path, word, message):
    with pytest.raises(UserError, match=message):
        launch(tmp_path, word)


@pytest.mark.parametrize("below", ["", "runs", "runs/mine"])
@pytest.mark.parametrize("flags", [["--dry_run"], []])
def test_a_file_in_the_place_of_the_root_is_named(tmp_path, below, flags):
    (tmp_path / "file").write_text("notes")
    with pytest.raises(UserError, match="/file is a file: name a folder"):
        launch(tmp_path / "file" / below, *flags)


def test_the_home_folder_of_python_is_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert launch(tmp_path / "runs", "--python=~/my/python", "--dry_run") == 0
    assert f"{tmp_path}/my/python -m patchail_jax" in capsys.readouterr().out


def start(root, *words, sweep="figure7"):
    """The launcher as a program of its own, to which Ctrl-C is what it is on a terminal."""
    command = [sys.executable, "-m", "patchail_jax", "launch", "local", sweep, "--tasks=finger", "--methods=patchail"]
    command += [f"--root={root}", f"--python={FAKE}", "--config.num_frames=4", *words]
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background ignores it
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heard)


def wait_for(*paths):
    until = time.monotonic() + 60
    while not all(path.exists() and path.stat().st_size for path in paths):
        assert time.monotonic() < until, paths
        time.sleep(0.05)


def test_a_terminal_that_is_gone_saves_all_and_leaves_nothing_at_work(tmp_path):
    process = start(tmp_path, "--jobs=1")
    log = tmp_path / "finger/patchail/pair/seed_0/console.log"
    wait_for(log)
    while "ready" not in log.read_text():
        time.sleep(0.05)
    process.stdout.close()  # writing there fails from now on
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert (log.parent / "saved").exists() and not is_running(log.parent)


def test_runs_of_a_launcher_that_was_killed_are_waited_for_and_not_doubled(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "LOOK_SECONDS", 0.1)
    monkeypatch.setenv("FAKE_SECONDS", "6")
    killed = start(tmp_path, "--seeds=0", "--jobs=1", sweep="figure6a")
    wait_for(tmp_path / "finger/patchail/mean/seed_0/diary")
    killed.kill()
    killed.communicate(timeout=60)
    monkeypatch.setenv("FAKE_SECONDS", "0")
    root = f"--root={tmp_path}"
    words = ["figure6a", "--tasks=finger", "--seeds=0", "--config.num_frames=4", root, f"--python={FAKE}"]
    assert local.main([*words, "--retries=2", "--jobs=2"]) == 1  # two of the four fail
    assert [len(starts(tmp_path, label)) for label in ("mean", "max", "min", "median")] == [1, 3, 3, 1]


def test_two_launchers_on_one_root_share_its_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "1")
    both = [start(tmp_path, "--seeds=0", "--jobs=1", sweep="figure6b") for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all("6 finished of 6 runs" in words for words in said)
    diaries = list(tmp_path.rglob("diary"))
    assert len(diaries) == 6 and all(len(path.read_text().splitlines()) == 1 for path in diaries)


def test_more_memory_than_there_is_is_refused_before_the_first_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "available", lambda: 7 * 1024**3)
    with pytest.raises(UserError, match=r"3 runs at a time need 9\.\d GiB for their replays, and 7\.0 GiB of memory"):
        launch(tmp_path, "--jobs=3")
    assert not list(tmp_path.iterdir())
    assert launch(tmp_path, "--jobs=3", "--config.replay.capacity=1000", "--retries=0") == 1  # as two of them fail


@pytest.mark.parametrize(
    ("gpus", "slots", "wanted"),
    [
        ((), 2, [{}, {}]),
        (places.cards("0,1"), 2, [{"CUDA_VISIBLE_DEVICES": gpu, "MUJOCO_EGL_DEVICE_ID": gpu} for gpu in "01"]),
        (places.cards("GPU-8a,MIG-1"), 2, [{"CUDA_VISIBLE_DEVICES": "GPU-8a"}, {"CUDA_VISIBLE_DEVICES": "MIG-1"}]),
    ],
)
def test_each_place_has_its_card(gpus, slots, wanted):
    assert [places.environment_of(slot, gpus, slots=slots) for slot in range(slots)] == wanted


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ("0,1,0", "card 0 is named twice"),  # each run would take nearly all of its memory
        ("GPU-8a,GPU-8a", "card GPU-8a is named twice"),
        ("", "'' names no card"),
        (",", "',' names no card"),
        ("0, 1", "' 1' is no card"),
        ("0;1", "'0;1' is no card"),
    ],
)
def test_cards_that_are_none_or_named_twice_are_refused(gpus, words, tmp_path):
    with pytest.raises(UserError, match=words):
        launch(tmp_path, "--dry_run", f"--gpus={gpus}")


def test_runs_on_one_card_share_its_memory():
    shares = [places.environment_of(slot, ["0", "1"], slots=5) for slot in range(5)]
    assert [place["CUDA_VISIBLE_DEVICES"] for place in shares] == ["0", "1", "0", "1", "0"]
    assert [place["XLA_PYTHON_CLIENT_MEM_FRACTION"] for place in shares] == [
        "0.300",
        "0.450",
        "0.300",
        "0.450",
        "0.300",
    ]
