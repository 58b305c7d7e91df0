"""The paper's runs one by one: which is next, what is kept of it, and that the same command goes on."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from patchail_jax.errors import UserError
from patchail_jax.programs import evidence
from patchail_jax.reports.kept_results import results
from patchail_jax.reports.results import write_table
from tests.test_train import SMALL

TINY = [word for word in SMALL if not word.startswith("--config.num_frames")]
TINY += ["--config.env.num_envs=1", "--config.replay.updates_per_call=1", "--config.evaluation.num_envs=1"]
TINY += ["--config.env.action_repeat=8", "--config.devices=1", "--config.evaluation.every_frames=80"]


@pytest.fixture
def spared(monkeypatch):
    """The words of each call; of doctor and bench nothing but that, and a bench.json."""
    calls, real = [], evidence._call

    def call(*words, seconds=None):
        calls.append((words, seconds))
        if words[0] == "train":
            return real(*words, seconds=seconds)
        if words[0] == "bench":
            Path(words[-1].partition("=")[2]).write_text(json.dumps({"device": "NVIDIA X9", "devices": 1}))
        return 0

    monkeypatch.setattr(evidence, "_call", call)
    return calls


def test_a_run_out_of_time_saves_itself_is_kept_and_goes_on_to_its_end(spared, tmp_path, monkeypatch):
    run = tmp_path / "runs/paper/finger_spin/patchail/seed_0"

    def clock():
        """The hour is over once the run has an evaluation of what it learned, however slow the machine is."""
        evaluated = (run / "eval.csv").exists() and (run / "eval.csv").read_text().count("\n") > 2
        return time.monotonic() + 3600 * evaluated

    monkeypatch.setattr(evidence, "time", SimpleNamespace(monotonic=clock))
    given = ["--minutes=60", f"--output={tmp_path / 'results'}", f"--runs={tmp_path / 'runs'}"]
    given += [*TINY, f"--config.demos.cache_dir={tmp_path / 'cache'}"]
    assert evidence.main([*given, "--config.num_frames=1000000"]) == 0
    assert [words[0] for words, _ in spared] == ["doctor", "bench", "train"]
    assert spared[1][1] == 3600 * evidence.BENCH_SHARE
    assert 0 < 3600 - evidence.SAVING_SECONDS - spared[2][1] < 60
    (one,) = results(tmp_path / "results" / "paper")
    assert one.path.relative_to(tmp_path) == Path("results/paper/finger_spin/patchail/seed_0.csv")
    assert one.about["machine"].startswith("1 x NVIDIA X9, ") and not one.about["finished"]
    assert "patchail train --config=finger:patchail" in one.about["command"]
    assert (tmp_path / "results/paper/bench_nvidia_x9.json").exists()
    reached = one.evaluations.last_frame
    assert any((run / "checkpoints").iterdir())

    assert evidence.main([*given, f"--config.num_frames={reached + 160}"]) == 0
    (one,) = results(tmp_path / "results" / "paper")
    assert one.about["finished"] and one.evaluations.last_frame == reached + 160
    page = (tmp_path / "results/README.md").read_text()
    assert f"| finger_spin | patchail | 0 | {one.run.returns[0]:.1f} | {one.run.returns[-1]:.1f} |" in page


def made(place, *, finished=None):
    """A result, or with ``finished`` a run folder; what crashed before its first checkpoint has none."""
    if finished is None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_suffix(".csv").write_text("frame,episode_reward,hour\n0,1.0,0.1\n")
        return
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    if finished:
        (place / "finished.json").write_text("{}")


def test_what_was_begun_here_comes_first_and_then_what_nobody_has_made(tmp_path):
    kept, runs = tmp_path / "results", tmp_path / "runs"

    def chosen():
        choice = evidence._choose(kept, runs, [])
        assert choice.words[0].startswith("--config=") and choice.words[-1] == f"--config.run_folder={choice.folder}"
        assert choice.results == kept / choice.folder.relative_to(runs).parts[0]
        by_channels = "--config.discriminator.penalty_groups=channels" in choice.words
        assert by_channels == (choice.results.name == "penalty_by_channels")
        return str(choice.folder.relative_to(runs))

    assert chosen() == "paper/finger_spin/patchail/seed_0"
    made(kept / "paper/finger_spin/patchail/seed_0")  # on another machine: not made again
    assert chosen() == "penalty_by_channels/finger_spin/patchail/seed_0"
    made(kept / "penalty_by_channels/finger_spin/patchail/seed_0")
    assert chosen() == "paper/cartpole_swingup/patchail/seed_0"
    made(runs / "paper/cheetah_run/patchail_w/seed_0", finished=False)
    assert chosen() == "paper/cheetah_run/patchail_w/seed_0"
    (runs / "paper/cheetah_run/patchail_w/seed_0/finished.json").write_text("{}")
    assert chosen() == "paper/cartpole_swingup/patchail/seed_0"


def test_a_run_that_crashed_before_its_first_checkpoint_is_made_though_its_evaluations_are_kept(tmp_path):
    begun = "paper/finger_spin/patchail/seed_0"
    made(tmp_path / "runs" / begun, finished=False)
    made(tmp_path / "results" / begun)
    assert evidence._choose(tmp_path / "results", tmp_path / "runs", []).folder == tmp_path / "runs" / begun


def test_a_benchmark_that_did_not_come_to_the_device_names_no_machine(tmp_path, monkeypatch):
    def call(*words, seconds=None):
        (tmp_path / "bench.json").write_text(json.dumps({"environments": {}}))
        return 1

    monkeypatch.setattr(evidence, "_call", call)
    assert evidence._bench(tmp_path, [], seconds=1.0) == "" and not list(tmp_path.iterdir())


def test_a_part_of_the_cases_does_not_replace_all_of_them(tmp_path, monkeypatch):
    device = {"device": "NVIDIA H200", "devices": 1}
    part, whole = device, {**device, "loop_steps_per_second": 1.0}

    def measured(found):
        write = lambda *words, seconds: (tmp_path / "bench.json").write_text(json.dumps(found))  # noqa: E731
        monkeypatch.setattr(evidence, "_call", write)
        assert evidence._bench(tmp_path, [], seconds=1.0).startswith("1 x NVIDIA H200")
        (kept,) = tmp_path.iterdir()
        assert kept.name == "bench_nvidia_h200.json"
        return json.loads(kept.read_text())

    assert measured(part) == part and measured(whole) == whole and measured(part) == whole
    newer = {**whole, "loop_steps_per_second": 2.0}
    assert measured(newer) == newer


def test_nothing_left_to_make_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "QUESTIONS", evidence.QUESTIONS[:1])
    made(tmp_path / "paper/finger_spin/patchail/seed_0")
    with pytest.raises(UserError, match="every run already; --config.seed=1"):
        evidence._choose(tmp_path, tmp_path / "runs", [])


def test_a_machine_that_would_not_do_is_not_measured(spared, tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "_call", lambda *words, seconds=None: spared.append((words, seconds)) or 1)
    assert evidence.main([f"--output={tmp_path}", f"--runs={tmp_path / 'runs'}"]) == 1
    assert [words[0] for words, _ in spared] == ["doctor"]


def test_the_project_s_table_is_what_its_files_hold(tmp_path):
    root = Path(__file__).parents[2] / "results"
    before = (root / "README.md").read_text()
    copy = tmp_path / "results"
    copy.mkdir()
    for path in root.rglob("*"):
        if path.is_file() and path.name != "README.md":
            (copy / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(root)).symlink_to(path)
    assert write_table(copy)[-1].read_text() == before
    found = list(results(root / "paper"))
    assert found
    for one in found:
        with one.path.open() as stream:
            assert list(csv.DictReader(stream))[-1]["task"] == one.about["config"]["env"]["task"]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_handed_on_once_and_waited_for(asked, tmp_path, monkeypatch):
    told = tmp_path / "told"
    child = (
        "import signal, sys, time, pathlib\n"
        f"told = pathlib.Path({str(told)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (told.write_text('asked'), time.sleep(0.5), told.write_text('saved'),"
        " sys.exit(143)))\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda words, **kind: real([sys.executable, "-c", child], **kind))

    def stop():
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), asked)

    threading.Thread(target=stop).start()
    with pytest.raises(KeyboardInterrupt) as stopped:
        evidence._call("train")
    assert stopped.value.args == (asked,) and told.read_text() == "saved"
    assert evidence._call("train", seconds=3.0) == 143  # out of time
    (tmp_path / "ready").unlink()
    child = child.replace("sys.exit(143)", "sys.exit(1)")
    threading.Thread(target=stop).start()
    with pytest.raises(KeyboardInterrupt) as stopped:
        evidence._call("doctor")
    assert not stopped.value.args  # nothing says that it has saved


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("frame,episode_reward,hour\n", "{}"),
        ("frame,episode_reward,hour\n1,2.0,0.1\n", "{}"),
        ("frame,episode_reward,hour\n1,2.0,0.1\n", "["),
        ("frame,episode_reward,hour\n1,two,0.1\n", "{}"),
        ("frame,episode_reward,hour\n1\n", "{}"),
        ("frame,episode_reward,hour\n1,2.0,0.1\n", None),
    ],
)
def test_a_file_that_is_no_result_is_named_in_one_line(text, about, tmp_path):
    path = tmp_path / "paper/finger_spin/patchail/seed_0.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    if about is not None:
        path.with_suffix(".json").write_text(about)
    with pytest.raises(UserError, match=f"{path} is no result") as error:
        write_table(tmp_path)
    assert "\n" not in str(error.value) and not (tmp_path / "README.md").exists()
