"""What is logged can be read back, and W&B can never stop a run."""

import csv
import errno
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.launch.table import read_progress
from patchail_jax.outputs.dashboards import Wandb, open_dashboards, wandb_mode_for
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.reports.eval_csv import read_eval_csv
from patchail_jax.storage.run_folder import open_run


@pytest.fixture
def run(tmp_path):
    run = open_run(tmp_path, config={})
    yield run
    run.close()


IDENTITY = RunIdentity(agent="patchail", task="cheetah_run", seed=3)


def make(run, *, wandb_mode="disabled"):
    def dashboards():
        log = {"wandb_mode": wandb_mode, "wandb_project": "test", "tensorboard": False}
        return open_dashboards(run, IDENTITY, {"seed": 3, "log": log})

    return Metrics(run, IDENTITY, dashboards)


def lines(run):
    return [json.loads(line) for line in run.metrics_jsonl.read_text().splitlines()]


def test_numbers_are_read_back_from_both_files(run, caplog):
    metrics = make(run)
    with caplog.at_level(logging.INFO):
        metrics.evaluation(np.array([1.0, 3.0]), frame=0, hour=0.5, scalars={})
        metrics.train({"critic/value": 1.5, "critic/loss": float("nan")}, frame=20, update=5, hour=0.6)
    assert lines(run)[0]["evaluation/return"] == 2.0 and lines(run)[0]["kind"] == "evaluation"
    assert lines(run)[1] == {
        "kind": "train", "frame": 20, "update": 5, "hour": 0.6, "critic/value": 1.5, "critic/loss": None,
    }  # fmt: skip
    with run.eval_csv.open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["agent", "task", "seed", "frame", "episode_reward", "hour"]
    assert rows[1:] == [["patchail", "cheetah_run", "3", "0", "2.0", "0.5"]]
    assert "return 2.0 +- 1.0 over 2 episodes  30 min\n" in caplog.text and "Q +1.50" in caplog.text
    with caplog.at_level(logging.INFO):
        metrics.evaluation(np.array([1.0]), frame=40, hour=1.26, hours_left=12.44, scalars={})
    assert "over 1 episode  1 h 16 min, 12 h 26 min left" in caplog.text


def test_rewinding_drops_later_lines_and_a_line_cut_short(run):
    metrics = make(run)
    for frame in (0, 10, 20):
        metrics.evaluation(np.array([float(frame)]), frame=frame, hour=0.0, scalars={})
        metrics.train({"x": 1.0}, frame=frame, update=frame, hour=0.0)
    with run.metrics_jsonl.open("a") as stream:
        stream.write('{"kind": "train", "fra')
    make(run).rewind(10, update=10, next_evaluation_frame=15)
    assert [line["frame"] for line in lines(run)] == [0, 0, 10, 10]
    assert [row.split(",")[3] for row in run.eval_csv.read_text().splitlines()] == ["frame", "0", "10"]


def test_rewinding_drops_an_evaluation_that_is_due_again(run):
    metrics = make(run)
    for frame in (0, 10):
        metrics.train({"x": 1.0}, frame=frame, update=frame, hour=0.0)
        metrics.evaluation(np.array([1.0]), frame=frame, hour=0.0, scalars={})
    metrics.rewind(10, update=10, next_evaluation_frame=10)
    assert [(line["kind"], line["frame"]) for line in lines(run)] == [("train", 0), ("evaluation", 0), ("train", 10)]
    assert [row.split(",")[3] for row in run.eval_csv.read_text().splitlines()] == ["frame", "0"]


def test_rewinding_drops_a_last_line_without_its_end(run):
    metrics = make(run)
    metrics.evaluation(np.array([1.0]), frame=10, hour=0.25, scalars={})
    for path in (run.metrics_jsonl, run.eval_csv):
        path.write_text(path.read_text().removesuffix("\n"))
    metrics.rewind(10, update=10, next_evaluation_frame=10)
    metrics.evaluation(np.array([2.0]), frame=10, hour=0.5, scalars={})
    assert [line["evaluation/return"] for line in lines(run)] == [2.0]
    assert run.eval_csv.read_text().splitlines()[1:] == ["patchail,cheetah_run,3,10,2.0,0.5"]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"null", b"3", b'{"kind": "train", "frame": "x", "update": 1}', b"", b"a,b,c,d,e,f"]
)
def test_rewinding_drops_damaged_lines_and_says_so(run, caplog, line):
    metrics = make(run)
    for frame in (0, 10):
        metrics.train({"x": 1.0}, frame=frame, update=frame, hour=0.0)
        metrics.evaluation(np.array([1.0]), frame=frame, hour=0.0, scalars={})
        for path in (run.metrics_jsonl, run.eval_csv):
            path.write_bytes(path.read_bytes() + line + b"\n")
    metrics.rewind(10, update=10, next_evaluation_frame=10)
    assert [(one["kind"], one["frame"]) for one in lines(run)] == [("train", 0), ("evaluation", 0), ("train", 10)]
    assert len(read_eval_csv(run.eval_csv).frames) == 1
    assert f"line 3 of {run.eval_csv} is damaged, and left out" in caplog.text
    metrics.begin()  # and without a checkpoint


@pytest.mark.parametrize(("evaluated", "kept"), [(30, True), (0, False)])
def test_logs_of_a_run_whose_checkpoints_are_gone_are_kept_beside_the_new_ones(run, caplog, evaluated, kept):
    """All but those of a run that had not been evaluated since its first frame."""
    for _ in range(2):  # the second time finds a name of its own
        metrics = make(run)
        metrics.train({"x": 1.0}, frame=25, update=1, hour=0.0)
        metrics.evaluation(np.array([1.0]), frame=evaluated, hour=0.0, scalars={})
        before = run.eval_csv.read_text(), run.metrics_jsonl.read_text()
        metrics.begin()
        assert run.eval_csv.read_text() == before[0].splitlines(keepends=True)[0]
        assert not run.metrics_jsonl.exists() or not run.metrics_jsonl.read_text()
    aside = [f"{name}.before_{n}.{kind}" for name, kind in (("eval", "csv"), ("metrics", "jsonl")) for n in (1, 2)]
    assert sorted(path.name for path in run.path.glob("*before*")) == (aside if kept else [])
    if kept:
        assert (
            (run.path / "eval.before_2.csv").read_text(),
            (run.path / "metrics.before_2.jsonl").read_text(),
        ) == before
        assert "there is no checkpoint: the run begins anew" in caplog.text


def test_a_full_disk_costs_lines_and_not_the_run(run, caplog):
    metrics = make(run)
    run.metrics_jsonl.symlink_to("/dev/full")
    metrics.train({"x": 1.0}, frame=1, update=1, hour=0.0)
    assert "a line of metrics.jsonl could not be written (No space left on device)" in caplog.text
    run.metrics_jsonl.unlink()  # space was made
    metrics.train({"x": 2.0}, frame=2, update=2, hour=0.0)
    assert [line["frame"] for line in lines(run)] == [2]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_half_a_line_on_a_full_or_broken_disk_does_not_spoil_the_next(run, monkeypatch, number):
    metrics = make(run)
    metrics.train({"x": 1.0}, frame=1, update=1, hour=0.0)
    opened = Path.open

    class Filling:
        """A file that takes half of what it is given."""

        def __init__(self, path):
            self.file = opened(path, "ab")

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, text):
            self.file.write(text[: len(text) // 2])
            raise OSError(number, "no more")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", lambda path, mode="r": Filling(path))
        metrics.train({"x": 2.0}, frame=2, update=2, hour=0.0)
    metrics.train({"x": 3.0}, frame=3, update=3, hour=0.0)
    assert [line["frame"] for line in lines(run)] == [1, 3]


def test_nothing_is_written_or_opened_before_the_run_begins(run):
    """Until then it may be refused."""
    opened = []
    metrics = Metrics(run, IDENTITY, lambda: opened.append("board") or ())
    metrics.close()
    assert not opened and not run.eval_csv.exists()
    metrics.begin()
    metrics.rewind(5, update=5, next_evaluation_frame=5)
    assert opened == ["board"] and run.eval_csv.exists()


def test_an_empty_table_gets_its_header(run):
    run.eval_csv.touch()
    make(run).begin()
    assert run.eval_csv.read_text() == "agent,task,seed,frame,episode_reward,hour\n"


@pytest.mark.parametrize("kept", [None, "", "header", "a row", "a row without its number"])
def test_evaluations_that_the_table_lost_come_back_from_the_log(run, caplog, kept):
    metrics = make(run)
    for frame in (0, 10, 20, 30):
        metrics.evaluation(np.array([frame / 3, np.nan if frame == 20 else 0.1]), frame=frame, hour=0.1, scalars={})
    whole = run.eval_csv.read_text()
    header, first, second, *_ = whole.splitlines(keepends=True)
    texts = {"": "", "header": header, "a row": second, "a row without its number": header + first.replace("0,", ",")}
    run.eval_csv.unlink() if kept is None else run.eval_csv.write_text(texts[kept])
    metrics.rewind(25, update=25, next_evaluation_frame=30)
    assert run.eval_csv.read_text() == "".join(whole.splitlines(keepends=True)[:-1])
    assert f"eval.csv lacked {2 if kept == 'a row' else 3} evaluations, now written again" in caplog.text
    caplog.clear()
    metrics.rewind(25, update=25, next_evaluation_frame=30)
    assert not caplog.records


def test_wandb_offline_writes_a_run_and_keeps_its_id(run, monkeypatch, caplog):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for _ in range(2):
        metrics = make(run, wandb_mode="offline")
        metrics.rewind(10, update=0, next_evaluation_frame=20)
        metrics.train({"critic/value": 1.5}, frame=20, update=5, hour=0.1)
        metrics.close()
    identity = (run.path / "wandb_id").read_text()
    written = list((run.path / "wandb").glob("offline-run-*/*.wandb"))
    assert written and all(identity in path.name for path in written)
    assert any(b"critic/value" in path.read_bytes() for path in written)
    assert "goes on without it" not in caplog.text


def test_without_wandb_the_run_goes_on(run, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    metrics = make(run, wandb_mode="offline")
    metrics.begin()
    metrics.train({"x": 1.0}, frame=1, update=1, hour=0.0)
    assert "W&B cannot start" in caplog.text and len(lines(run)) == 1


def test_a_wandb_that_breaks_later_is_left_behind_with_one_warning(run, caplog):
    class Broken:
        calls = 0

        def log(self, scalars):
            self.calls += 1
            raise ConnectionError("no network")

    broken = Broken()
    metrics = Metrics(run, IDENTITY, lambda: [Wandb(broken, run.path / "wandb_sent.json")])
    metrics.begin()
    for frame in (1, 2):
        metrics.train({"x": 1.0}, frame=frame, update=frame, hour=0.0)
    assert caplog.text.count("W&B failed (no network)") == 1 and len(lines(run)) == 2 and broken.calls == 1


@pytest.mark.parametrize(
    ("mode", "environment", "expected"),
    [
        ("offline", {"WANDB_MODE": "online"}, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, "disabled"),
        ("auto", {"WANDB_API_KEY": "k"}, "online"),
        ("auto", {}, "offline"),
    ],
)
def test_the_mode_follows_from_config_then_environment_then_key(monkeypatch, tmp_path, mode, environment, expected):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wandb_mode_for(mode) == expected


def test_an_unknown_mode_is_one_line(run):
    with pytest.raises(UserError, match="use one of auto, online, offline, disabled"):
        make(run, wandb_mode="sometimes").begin()


def test_a_name_with_a_comma_keeps_its_evaluations(run):
    metrics = Metrics(run, IDENTITY._replace(task="pick,place"))
    metrics.begin()
    for frame in (0, 100, 200):
        metrics.evaluation(np.array([frame / 2]), frame=frame, hour=0.1, scalars={})
    metrics.rewind(150, update=9, next_evaluation_frame=200)
    with run.eval_csv.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["task"], row["frame"]) for row in rows] == [("pick,place", "0"), ("pick,place", "100")]
    assert read_progress(run.path) == (100, 50.0)
