"""What W&B and TensorBoard were given is read back from their files."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from patchail_jax.errors import UserError
from patchail_jax.outputs.dashboards import Wandb
from patchail_jax.outputs.tensorboard import TensorBoard
from tests.outputs.dashboard_files import (
    COUNTS,
    EDGES,
    Recorded,
    ended_records,
    events,
    history,
    log_a_run,
    tensorboard_rows,
)


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """The records of a run that was started twice, a list a start."""
    folder = tmp_path_factory.mktemp("offline")
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("WANDB_MODE", raising=False)
        log_a_run(folder, frames=[0, 10], wandb_mode="offline")
        first = set((folder / "wandb").glob("offline-run-*/*.wandb"))
        log_a_run(folder, frames=[20], wandb_mode="offline")
    second = set((folder / "wandb").glob("offline-run-*/*.wandb")) - first
    assert len(first) == 1 and len(second) == 1
    return [ended_records(file) for file in (*first, *second)]


def test_wandb_has_every_number_at_its_frame(offline):
    lines = history(offline[0])
    assert all("frame" in line for line in lines)
    losses = {line["frame"]: line["critic/loss"] for line in lines if "critic/loss" in line}
    returns = {line["frame"]: line["evaluation/return"] for line in lines if "evaluation/return" in line}
    assert losses == {0: 0.0, 10: 1.0} and returns == {0: 2.0, 10: 2.0}


def test_wandb_draws_everything_over_frames(offline):
    axes = [record.metric for record in offline[0] if record.WhichOneof("record_type") == "metric"]
    assert any(axis.glob_name == "*" and axis.step_metric == "frame" for axis in axes)


def test_wandb_has_histograms_and_films(offline):
    last = history(offline[0])
    histogram = next(line for line in reversed(last) if "evaluation/agent_logits/_type" in line)
    assert histogram["evaluation/agent_logits/values"] == COUNTS.tolist()
    assert histogram["evaluation/agent_logits/bins"] == EDGES.tolist() and histogram["frame"] == 10
    film = next(line for line in reversed(last) if "evaluation/agent/_type" in line)
    assert film["evaluation/agent/_type"] == "video-file" and film["frame"] == 10


def test_wandb_groups_by_task_and_method_and_keeps_its_id(offline):
    runs = [record.run for found in offline for record in found if record.WhichOneof("record_type") == "run"]
    assert {run.run_group for run in runs} == {"cheetah_run/patchail"} and {run.project for run in runs} == {"project"}
    assert {run.display_name for run in runs} == {"cheetah_run/patchail/3"}
    assert len({run.run_id for run in runs}) == 1
    assert [line["frame"] for line in history(offline[1]) if "critic/loss" in line] == [20]


def test_tensorboard_has_scalars_histograms_and_films_over_frames(tmp_path):
    log_a_run(tmp_path, frames=[10, 20], tensorboard=True)
    written = list(events(tmp_path / "tensorboard"))
    found = {(value.tag, event.step): value for event in written for value in event.summary.value}
    assert found["critic/loss", 20].simple_value == 2.0 and found["evaluation/return", 10].simple_value == 2.0
    histogram = found["evaluation/agent_logits", 20].histo
    assert list(histogram.bucket) == [1, 2, 3] and list(histogram.bucket_limit) == [0.0, 1.0, 2.0]
    assert found["evaluation/agent", 10].image.encoded_image_string.startswith(b"GIF8")


def test_without_tensorboardx_one_line_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"pip install .\.\[tensorboard\]"):
        log_a_run(tmp_path, frames=[0], tensorboard=True)


def test_histograms_are_rewound_with_the_rest(tmp_path):
    log_a_run(tmp_path, frames=[0, 10, 20])
    log_a_run(tmp_path, frames=[10])
    lines = [json.loads(line) for line in (tmp_path / "histograms.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 10]
    assert lines[0]["counts"] == COUNTS.tolist() and lines[0]["edges"] == EDGES.tolist()


def test_tensorboard_s_own_writer_reads_and_sums_as_ours(tmp_path):
    """The checksums and the framing are TensorFlow's: those of tensorboardX's writer."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    board = TensorBoard(tmp_path)
    event = Event(step=7, summary=Summary(value=[Summary.Value(tag="x", simple_value=1.5)]))
    theirs = EventsWriter(str(tmp_path / "theirs"))
    theirs.write_event(event)
    theirs.close()
    (file,) = tmp_path.glob("theirs*")
    ours = board._framed(event)
    assert file.read_bytes().endswith(ours) and len(ours) == 16 + len(event.SerializeToString())


def test_two_threads_may_use_a_dashboard_that_breaks(tmp_path):
    """The evaluation's thread sends films while the main one sends rows."""

    class Breaks(Recorded):
        def log(self, row):
            assert not self.busy, "two at once"
            self.busy = True
            time.sleep(0.001)
            self.busy = False
            if len(self.rows) == 20:
                self.breaks += 1
                raise ConnectionError
            self.rows.append(row)

        busy, breaks = False, 0

    def log(sends):
        failures = 0
        for number in range(30):
            try:
                sends(number)
            except ConnectionError:
                failures += 1
        return failures

    run = Breaks()
    wandb, board = Wandb(run, tmp_path / "wandb_sent.json"), TensorBoard(tmp_path / "tensorboard")
    with ThreadPoolExecutor(2) as threads:
        results = threads.map(
            log,
            (
                lambda number: wandb.scalars("train", {"update": number}, frame=number),
                lambda number: wandb.histogram("x", COUNTS, EDGES, frame=number),
            ),
        )
        assert sum(results) == 1 and run.breaks == 1 and len(run.rows) == 20
        list(
            threads.map(
                lambda name: [board.scalars("train", {name: 1.0}, frame=frame) for frame in range(30)], ("one", "two")
            )
        )
    assert len(list(tensorboard_rows(tmp_path / "tensorboard"))) == 60
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
