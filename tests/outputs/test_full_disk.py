"""On a file system that is really full, everything to look at is left out with one warning, and the run goes on."""

import json
import os
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.errors import UserError
from patchail_jax.methods.method import Judge
from patchail_jax.networks.geometry import Layer
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.outputs.tensorboard import TensorBoard
from patchail_jax.run.evaluation_outputs import EvaluationOutputs
from patchail_jax.run.summary import write_summary
from patchail_jax.storage.run_folder import open_run
from patchail_jax.types import Episode

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
NOTHING = np.zeros(8, np.float32)
EVALUATION = Evaluation(np.array([2.0]), Episode(IMAGES, NOTHING[:, None], NOTHING, NOTHING))
COUNTS, EDGES = np.array([1, 2, 3]), np.array([-1.0, 0.0, 1.0, 2.0])
IDENTITY = RunIdentity("drqv2", "cheetah_run", 0)


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A file system of one MiB."""
    folder = tmp_path_factory.mktemp("disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a failed test may hold a file


@pytest.fixture
def run(disk, caplog):
    """A run on a disk that ``fill`` fills; what it has written before is still there."""
    run = open_run(disk / "run", config={})
    yield run
    run.close()
    subprocess.run(["rm", "-rf", str(disk / "run"), str(disk / "filling")], check=True)


def fill(run):
    """Leaves no byte free."""
    with (run.path.parent / "filling").open("wb", buffering=0) as stream, pytest.raises(OSError, match="No space"):
        while True:
            stream.write(bytes(4096))
    with pytest.raises(OSError, match="No space"):
        (run.path.parent / "one_more").write_bytes(b"x")
    (run.path.parent / "one_more").unlink()


def free(run):
    (run.path.parent / "filling").unlink()


def warnings(caplog):
    found = [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    caplog.clear()
    return found


def fill_last_page(path):
    """A file's last page takes more even on a full disk: this one is filled to a page's end."""
    with path.open("ab") as stream:
        stream.write(b" " * (-path.stat().st_size % 4096 - 1) + b"\n")


def evaluation_outputs(run):
    return EvaluationOutputs(run, SimpleNamespace(devices=[]), None, None, films=True)


def test_a_film_and_the_newest_episode_are_left_out_with_one_warning_each(run, caplog):
    outputs, metrics = evaluation_outputs(run), Metrics(run, IDENTITY)
    outputs.write(None, EVALUATION, metrics, frame=0)
    before = run.latest_episode.read_bytes()
    fill(run)
    for frame in (10, 20, 30):
        assert "memory/host_gib" in outputs.write(None, EVALUATION, metrics, frame=frame)
    film, latest = warnings(caplog)
    assert film.startswith("films failed (") and latest.startswith("latest.npz failed (")
    assert [path.name for path in sorted(run.videos.iterdir())] == ["000000000.mp4", "latest.npz"]
    assert run.latest_episode.read_bytes() == before
    free(run)
    outputs.write(None, EVALUATION, metrics, frame=40)
    assert (run.videos / "000000040.mp4").exists() and int(np.load(run.latest_episode)["frame"]) == 40
    assert not warnings(caplog)


def test_histograms_are_left_out_with_one_warning(run, caplog):
    metrics = Metrics(run, IDENTITY)
    fill(run)
    for frame in (0, 10):
        for name in ("a", "b"):
            metrics.histogram(name, COUNTS, EDGES, frame=frame)
    (warning,) = warnings(caplog)
    assert warning.startswith("histograms failed (") and "No space left" in warning
    free(run)
    metrics.histogram("a", COUNTS, EDGES, frame=20)
    assert [json.loads(line)["frame"] for line in run.histograms_jsonl.read_text().splitlines()] == [20]


def test_each_line_of_numbers_that_is_lost_is_said_to_be(run, caplog):
    metrics = Metrics(run, IDENTITY)
    metrics.begin()
    metrics.train({"x": 1.0}, frame=1, update=1, hour=0.0)
    for path in (run.metrics_jsonl, run.eval_csv):
        fill_last_page(path)
    sizes = run.metrics_jsonl.stat().st_size, run.eval_csv.stat().st_size
    fill(run)
    for frame in (2, 3):
        metrics.train({"x": 1.0}, frame=frame, update=frame, hour=0.0)
    lost = warnings(caplog)
    assert len(lost) == 2 and all("a line of metrics.jsonl could not be written (No space" in line for line in lost)
    metrics.evaluation(np.array([1.0]), frame=3, hour=0.0, scalars={})
    assert ["metrics.jsonl" in line for line in warnings(caplog)] == [True, False]  # and eval.csv
    assert (run.metrics_jsonl.stat().st_size, run.eval_csv.stat().st_size) == sizes
    free(run)
    metrics.train({"x": 1.0}, frame=4, update=4, hour=0.0)
    assert json.loads(run.metrics_jsonl.read_text().splitlines()[-1])["frame"] == 4 and not warnings(caplog)


def test_a_resume_that_must_forget_lines_is_one_line_on_a_full_disk(run, caplog):
    metrics = Metrics(run, IDENTITY)
    metrics.begin()
    for frame in (1, 2):
        metrics.train({"x": 1.0}, frame=frame, update=frame, hour=0.0)
    fill(run)
    metrics.rewind(2, update=2, next_evaluation_frame=0)  # nothing to forget
    with pytest.raises(UserError, match=r"metrics.jsonl cannot be written \(No space left on device\)"):
        metrics.rewind(1, update=1, next_evaluation_frame=0)
    assert len(run.metrics_jsonl.read_text().splitlines()) == 2 and not list(run.path.glob("*.unfinished"))
    assert not warnings(caplog)


def test_tensorboard_is_left_out_with_one_warning_and_takes_up_again(run, caplog):
    board = TensorBoard(run.path / "tensorboard")
    metrics = Metrics(run, IDENTITY, lambda: [board])
    metrics.begin()
    board.scalars("train", {"update": 1}, frame=1)
    (file,) = (run.path / "tensorboard").iterdir()
    whole = file.read_bytes()
    fill(run)
    large = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    for frame in (2, 3, 4):
        metrics.film("film", run.path / "film.mp4", large, fps=25, frame=frame)
    (warning,) = warnings(caplog)
    assert warning.startswith("TensorBoard failed (") and file.read_bytes() == whole
    metrics.rewind(0, update=0, next_evaluation_frame=0)  # of which no copy can be written
    assert file.read_bytes() == whole and not warnings(caplog)
    free(run)
    metrics.rewind(0, update=0, next_evaluation_frame=0)
    board.scalars("train", {"update": 5}, frame=5)
    assert not file.exists() and not list((run.path / "tensorboard").glob("*unfinished*")) and not warnings(caplog)


def test_the_last_pictures_are_left_out_with_one_warning(run, caplog):
    metrics = Metrics(run, IDENTITY)
    metrics.evaluation(np.array([2.0]), frame=0, hour=0.0, scalars={})
    judge = Judge(None, lambda rewards: rewards.mean(axis=(1, 2)), None, (Layer(32, 1, 0),), convolutional=False)
    training = SimpleNamespace(
        snapshot=SimpleNamespace(folder=run),
        log=SimpleNamespace(metrics=metrics),
        experts=SimpleNamespace(demonstration=lambda d: IMAGES, returns=np.array([3.0])),
        specs=SimpleNamespace(feature_count=0, image_size=32),
        learner=SimpleNamespace(state=None),
        devices=SimpleNamespace(patch_rewards=lambda state, images: np.zeros((8, 1, 1), np.float32)),
        method=SimpleNamespace(discriminator=judge),
    )
    fill(run)
    write_summary(training, EVALUATION)
    (warning,) = warnings(caplog)
    assert warning.startswith("pictures of the finished run failed (")
    assert not list(run.pictures.glob("*")) and os.statvfs(run.path).f_bavail == 0
    free(run)
    run.eval_csv.write_text("agent,task,seed,frame,episode_reward,hour\n")  # as if its lines had been lost
    write_summary(training, EVALUATION)
    assert (run.pictures / "agent.mp4").exists()
