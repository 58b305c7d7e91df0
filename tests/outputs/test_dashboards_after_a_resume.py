"""A run that resumes logs some rows again: dashboards show each once, by the rule of the run's files."""

import json

import pytest

from patchail_jax.outputs.dashboards import Wandb
from patchail_jax.outputs.tensorboard import TensorBoard
from patchail_jax.outputs.video import write_video
from tests.outputs.dashboard_files import (
    COUNTS,
    EDGES,
    IMAGES,
    Recorded,
    ended_records,
    history,
    log_a_run,
    tensorboard_rows,
)


def log_training(dashboard, rows):
    for frame, update in rows:
        dashboard.scalars("train", {"update": update, "hour": 0.1, "critic/loss": 1.0}, frame=frame)


def log_evaluation(dashboard, folder, frame):
    dashboard.histogram("evaluation/agent_logits", COUNTS, EDGES, frame=frame)
    dashboard.film("evaluation/agent", folder / "film.mp4", IMAGES, fps=25, frame=frame)
    dashboard.scalars("evaluation", {"evaluation/return": 2.0, "hour": 0.1}, frame=frame)


def test_after_a_resume_tensorboard_has_each_row_once(tmp_path):
    """By the rule of the other files; pretraining's rows all stand at frame 0."""
    first, folder = TensorBoard(tmp_path / "tensorboard"), tmp_path / "tensorboard"
    log_training(first, [(0, 50), (0, 100), (0, 150), (10, 110)])
    for frame in (0, 10, 20):
        log_evaluation(first, tmp_path, frame)
    log_training(first, [(20, 210)])
    with max(folder.iterdir()).open("ab") as stream:
        stream.write(b"\x40\0\0")  # a kill cut the next one short
    again = TensorBoard(folder)
    again.rewind(10, update=110, next_evaluation_frame=10)
    kept = [("critic/loss", 0, 50), ("critic/loss", 0, 100), ("critic/loss", 10, 110)]
    evaluation = ["evaluation/agent_logits", "evaluation/agent", "evaluation/return"]
    found = list(tensorboard_rows(folder))
    assert found == [("start", 0, 1), *kept, *((tag, 0, None) for tag in evaluation)]
    log_evaluation(again, tmp_path, 10)
    log_training(again, [(20, 210)])
    later = [*((tag, 10, None) for tag in evaluation), ("critic/loss", 20, 210)]
    assert list(tensorboard_rows(folder)) == found + later
    files = sorted(folder.iterdir())
    TensorBoard(folder).rewind(20, update=210, next_evaluation_frame=20)
    assert sorted(folder.iterdir()) == files  # nothing to forget
    TensorBoard(folder).rewind(-1, update=0, next_evaluation_frame=0)
    assert list(tensorboard_rows(folder)) == [("start", 0, 1)]


def test_a_kill_between_the_new_event_file_and_the_end_of_the_old_leaves_no_row_twice(tmp_path, monkeypatch):
    folder = tmp_path / "tensorboard"
    first = TensorBoard(folder)
    log_training(first, [(0, 50), (10, 110)])
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.unlink", lambda path, missing_ok=False: None if missing_ok else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            TensorBoard(folder).rewind(0, update=50, next_evaluation_frame=0)
    assert len(list(folder.iterdir())) == 2
    TensorBoard(folder).rewind(0, update=50, next_evaluation_frame=0)
    assert list(tensorboard_rows(folder)) == [("start", 0, 1), ("critic/loss", 0, 50)]


def test_a_clock_that_goes_back_loses_no_event(tmp_path, monkeypatch):
    folder = tmp_path / "tensorboard"
    log_training(TensorBoard(folder), [(0, 50), (10, 110), (20, 210)])
    resumed = TensorBoard(folder)
    resumed.rewind(10, update=110, next_evaluation_frame=0)
    with monkeypatch.context() as patched:
        patched.setattr("patchail_jax.outputs.tensorboard.time.time", lambda: 1e9)
        log_training(resumed, [(20, 210), (30, 310)])
    TensorBoard(folder).rewind(30, update=310, next_evaluation_frame=0)
    rows = [row for row in tensorboard_rows(folder) if row[0] == "critic/loss"]
    assert rows == [("critic/loss", frame, update) for frame, update in ((0, 50), (10, 110), (20, 210), (30, 310))]


def sent_rows(run):
    what = ("critic/loss", "evaluation/return", "evaluation/agent_logits", "evaluation/agent")
    return [(next(name for name in what if name in row), row["frame"], row.get("update")) for row in run.rows]


def test_after_a_resume_wandb_is_sent_what_it_does_not_have(tmp_path):
    """W&B takes nothing back, so it keeps what it had first; a film that was never sent still is."""
    write_video(tmp_path / "film.mp4", IMAGES, fps=25)
    sent, first, again = tmp_path / "wandb_sent.json", Recorded(), Recorded()
    wandb = Wandb(first, sent)
    log_training(wandb, [(0, 50), (0, 100), (10, 110), (20, 210)])
    log_evaluation(wandb, tmp_path, 0)
    wandb.histogram("evaluation/agent_logits", COUNTS, EDGES, frame=10)  # killed before the evaluation's end
    wandb = Wandb(again, sent)
    wandb.rewind(10, update=110, next_evaluation_frame=10)
    log_evaluation(wandb, tmp_path, 10)
    log_training(wandb, [(20, 210), (30, 310)])
    wandb.close()
    wandb.close()
    assert sent_rows(first)[:4] == [("critic/loss", *place) for place in [(0, 50), (0, 100), (10, 110), (20, 210)]]
    assert sent_rows(again) == [
        ("evaluation/agent", 10, None), ("evaluation/return", 10, None), ("critic/loss", 30, 310),
    ]  # fmt: skip
    assert again.finished == 1


def test_the_server_knows_of_rows_that_a_replica_does_not(tmp_path):
    run = Recorded(update=210, frame=20)
    log_training(Wandb(run, tmp_path / "wandb_sent.json"), [(10, 110), (20, 210), (30, 310)])
    assert sent_rows(run) == [("critic/loss", 30, 310)]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"id": "another", "sent": {"train": 99}}', '{"id": "abc"}'])
def test_another_run_s_rows_and_a_broken_file_are_no_rows(tmp_path, content):
    sent, run = tmp_path / "wandb_sent.json", Recorded()
    sent.write_text(content)
    log_training(Wandb(run, sent), [(10, 50)])
    assert sent_rows(run) == [("critic/loss", 10, 50)]
    assert json.loads(sent.read_text()) == {"id": "abc", "sent": {"train": 50}}


def test_a_real_wandb_run_that_is_rewound_has_each_row_once(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    log_a_run(tmp_path, frames=[0, 10, 20], wandb_mode="offline")
    first = set((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    log_a_run(tmp_path, frames=[10, 20, 30], wandb_mode="offline")
    (second,) = set((tmp_path / "wandb").glob("offline-run-*/*.wandb")) - first
    rows = history(ended_records(*first)) + history(ended_records(second))
    assert [row["frame"] for row in rows if "critic/loss" in row] == [0, 10, 20, 30]
    assert [row["frame"] for row in rows if "evaluation/return" in row] == [0, 10, 20, 30]
    assert [row["frame"] for row in rows if "evaluation/agent/_type" in row] == [0, 10, 20, 30]
