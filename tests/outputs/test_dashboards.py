"""What W&B and TensorBoard were given is read back from their files."""

import json
import struct
import sys
import time

import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.outputs.video import write_video
from patchail_jax.storage.run_folder import open_run

COUNTS, EDGES = np.array([1, 2, 3]), np.array([-1.0, 0.0, 1.0, 2.0])
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def log_a_run(folder, *, frames, wandb_mode="disabled", tensorboard=False):
    """One start of a run: a line of training, an evaluation, a histogram and a film at each of ``frames``."""
    run = open_run(folder, config={})
    metrics = Metrics(
        run,
        agent="patchail",
        task="cheetah_run",
        seed=3,
        wandb_mode=wandb_mode,
        wandb_project="project",
        wandb_group="cheetah_run/patchail",
        run_name="cheetah_run/patchail/3",
        config={"seed": 3, "env": {"task": "cheetah_run"}},
        tensorboard=tensorboard,
    )
    metrics.rewind(frames[0] - 1, update=frames[0] - 1, next_evaluation_frame=frames[0])
    for frame in frames:
        metrics.train({"critic/loss": frame / 10}, frame=frame, update=frame, hour=0.1)
        metrics.evaluation(np.array([1.0, 3.0]), frame=frame, hour=0.2, scalars={"evaluation/agent_logit": -0.5})
        metrics.histogram("evaluation/agent_logits", COUNTS, EDGES, frame=frame)
        film = run.videos / f"{frame}.mp4"
        write_video(film, FRAMES, fps=25)
        metrics.film("evaluation/agent", film, FRAMES, fps=25, frame=frame)
    metrics.close()
    run.close()


def records(file):
    """Every record of a W&B offline run: LevelDB's log format, blocks of 32 KiB, after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole, found = file.read_bytes(), 7, b"", []
    while place + 7 <= len(data):
        if place % 2**15 > 2**15 - 7:  # no room for a header: the block was filled up
            place += -place % 2**15
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            found.append(Record.FromString(whole))
            whole = b""
    return found


def ended_records(file):
    """Once the last one is there: W&B's own process writes on for a moment after the run has ended."""
    until = time.monotonic() + 30
    while "exit" not in [record.WhichOneof("record_type") for record in records(file)]:
        assert time.monotonic() < until
        time.sleep(0.05)
    return records(file)


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


def history(found):
    lines = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            items = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            lines.append(items)
    return lines


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


def events(folder):
    """Every event file's summaries as (tag, step, value)."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.glob("events.*"), key=lambda one: one.stat().st_mtime_ns):
        data, place = file.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            event = Event.FromString(data[place + 12 : place + 12 + length])
            place += 16 + length
            yield from ((value.tag, event.step, value) for value in event.summary.value)


def test_tensorboard_has_scalars_histograms_and_films_over_frames(tmp_path):
    log_a_run(tmp_path, frames=[10, 20], tensorboard=True)
    found = {(tag, step): value for tag, step, value in events(tmp_path / "tensorboard")}
    assert found["critic/loss", 20].simple_value == 2.0 and found["evaluation/return", 10].simple_value == 2.0
    histogram = found["evaluation/agent_logits", 20].histo
    assert list(histogram.bucket) == [1, 2, 3] and list(histogram.bucket_limit) == [0.0, 1.0, 2.0]
    assert found["evaluation/agent", 10].image.encoded_image_string.startswith(b"GIF8")


def test_without_tensorboardx_one_line_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match=r"patchail_jax\[tensorboard\]"):
        log_a_run(tmp_path, frames=[0], tensorboard=True)


def test_histograms_are_rewound_with_the_rest(tmp_path):
    log_a_run(tmp_path, frames=[0, 10, 20])
    log_a_run(tmp_path, frames=[10])
    lines = [json.loads(line) for line in (tmp_path / "histograms.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == [0, 10]
    assert lines[0]["counts"] == COUNTS.tolist() and lines[0]["edges"] == EDGES.tolist()
