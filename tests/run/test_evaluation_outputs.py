"""What evaluations leave to look at, and what is left out where it cannot be made."""

from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.errors import NotFiniteValues
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.programs.footage import read_film
from patchail_jax.run.evaluation_outputs import EvaluationOutputs
from patchail_jax.storage.run_folder import open_run
from patchail_jax.types import Episode

PICTURES, FEATURES = np.zeros((5, 16, 16, 3), np.uint8), np.zeros((5, 7), np.float32)


@pytest.mark.parametrize(
    ("films", "frames", "left"),
    [(True, PICTURES, ["000000040.mp4", "latest.npz"]), (True, FEATURES, []), (False, PICTURES, [])],
)
def test_films_without_a_discriminator(tmp_path, films, frames, left):
    run, shown = open_run(tmp_path, config={}), []
    outputs = EvaluationOutputs(run, SimpleNamespace(devices=[]), None, None, films=films)
    nothing = np.zeros(4, np.float32)
    evaluation = Evaluation(np.zeros(1), Episode(frames, nothing[:, None], nothing, nothing))
    dashboard = SimpleNamespace(film=lambda name, path, images, **rest: shown.append((name, len(images))), title="")
    metrics = Metrics(run, RunIdentity("drqv2", "cheetah_run", 0), lambda: [dashboard])
    metrics.begin()
    scalars = outputs.write(None, evaluation, metrics, frame=40)
    assert set(scalars) >= {"memory/host_peak_gib"}
    assert sorted(path.name for path in run.videos.glob("*")) == left
    if left:
        assert shown == [("evaluation/agent", 5)] and len(read_film(run.videos / left[0], image_size=16)) == 5
    run.close()


def test_a_film_that_cannot_be_made_costs_one_warning_and_nothing_else(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("av.open", lambda *_, **__: (_ for _ in ()).throw(ValueError("no such encoder")))
    run = open_run(tmp_path, config={})
    outputs = EvaluationOutputs(run, SimpleNamespace(devices=[]), None, None, films=True)
    nothing = np.zeros(4, np.float32)
    evaluation = Evaluation(np.zeros(1), Episode(PICTURES, nothing[:, None], nothing, nothing))
    metrics = Metrics(run, RunIdentity("drqv2", "cheetah_run", 0))
    for frame in (0, 40):
        outputs.write(None, evaluation, metrics, frame=frame)
    (warning,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert warning.startswith("films failed (") and "PyAV cannot write" in warning
    assert [path.name for path in run.videos.iterdir()] == ["latest.npz"]
    run.close()


@pytest.mark.parametrize("broken", ["logits", "rewards"])
def test_a_discriminator_that_gives_no_numbers_ends_the_run_with_films_or_without(tmp_path, broken):
    run = open_run(tmp_path, config={})
    outputs = EvaluationOutputs(run, SimpleNamespace(devices=[]), None, None, films=False)
    numbers = {"logits": np.ones((4, 1, 1), np.float32), "rewards": np.ones(4, np.float32)}
    numbers[broken] = np.nan * numbers[broken]
    outputs._expert = PICTURES
    outputs._explainer = SimpleNamespace(
        kinds=[],
        explain=lambda state, images, kinds: SimpleNamespace(**numbers, maps={}),
    )
    nothing = np.zeros(4, np.float32)
    evaluation = Evaluation(np.zeros(1), Episode(PICTURES, nothing[:, None], nothing, nothing))
    with pytest.raises(NotFiniteValues, match="rewards that are not finite"):
        outputs.write(None, evaluation, Metrics(run, RunIdentity("patchail", "cheetah_run", 0)), frame=0)
    run.close()
