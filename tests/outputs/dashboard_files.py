"""A run that logs to dashboards, and what is read back from W&B's and TensorBoard's files."""

import functools
import json
import struct
import time

import numpy as np

from patchail_jax.outputs.dashboards import open_dashboards
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.outputs.video import write_video
from patchail_jax.storage.run_folder import open_run

COUNTS, EDGES = np.array([1, 2, 3]), np.array([-1.0, 0.0, 1.0, 2.0])
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def log_a_run(folder, *, frames, wandb_mode="disabled", tensorboard=False):
    """One start of a run: a line of training, an evaluation, a histogram and a film at each of ``frames``."""
    run, identity = open_run(folder, config={}), RunIdentity("patchail", "cheetah_run", 3)
    log = {"wandb_mode": wandb_mode, "wandb_project": "project", "tensorboard": tensorboard}
    config = {"seed": 3, "env": {"task": "cheetah_run"}, "log": log}
    metrics = Metrics(run, identity, functools.partial(open_dashboards, run, identity, config))
    metrics.rewind(frames[0] - 1, update=frames[0] - 1, next_evaluation_frame=frames[0])
    for frame in frames:
        metrics.train({"critic/loss": frame / 10}, frame=frame, update=frame, hour=0.1)
        metrics.evaluation(np.array([1.0, 3.0]), frame=frame, hour=0.2, scalars={"evaluation/agent_logit": -0.5})
        metrics.histogram("evaluation/agent_logits", COUNTS, EDGES, frame=frame)
        film = run.videos / f"{frame}.mp4"
        write_video(film, IMAGES, fps=25)
        metrics.film("evaluation/agent", film, IMAGES, fps=25, frame=frame)
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


def history(found):
    lines = []
    for record in found:
        if record.WhichOneof("record_type") == "history":
            items = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            lines.append(items)
    return lines


def events(folder):
    """Every event, in the order in which TensorBoard reads them."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.glob("events.*")):
        data, place = file.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            yield Event.FromString(data[place + 12 : place + 12 + length])
            place += 16 + length


def tensorboard_rows(folder):
    """Rows as (what, step, update), in the order in which TensorBoard reads them, and starts with their status."""
    for event in events(folder):
        if event.HasField("summary"):
            values = {value.tag: value.simple_value for value in event.summary.value}
            tag = next(tag for tag in values if tag not in ("update", "hour"))
            yield tag, event.step, values.get("update")
        elif event.HasField("session_log"):
            yield "start", event.step, event.session_log.status


class Recorded:
    """A W&B run that writes down what it is given, and of which the server has the summary."""

    id = "abc"

    def __init__(self, **summary):
        self.rows, self.summary, self.finished = [], summary, 0

    def log(self, row):
        self.rows.append(row)

    def finish(self):
        self.finished += 1
