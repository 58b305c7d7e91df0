"""What evaluations leave where there is no discriminator: a plain film of frames, and nothing of physics features."""

from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.outputs.video import read_video
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
    outputs = EvaluationOutputs(
        SimpleNamespace(log=SimpleNamespace(films=films)),
        SimpleNamespace(judge=None, examine=None),
        SimpleNamespace(devices=[]),
        None,
        run,
    )
    nothing = np.zeros(4, np.float32)
    evaluation = Evaluation(np.zeros(1), Episode(frames, nothing[:, None], nothing, nothing))
    dashboard = SimpleNamespace(film=lambda name, path, images, **rest: shown.append((name, len(images))), title="")
    metrics = Metrics(run, RunIdentity("drqv2", "cheetah_run", 0), [dashboard])
    scalars = outputs.write(None, evaluation, metrics, frame=40)
    assert set(scalars) >= {"memory/host_peak_gib"}
    assert sorted(path.name for path in run.videos.glob("*")) == left
    if left:
        assert shown == [("evaluation/agent", 5)] and len(read_video(run.videos / left[0], image_size=16)) == 5
    run.close()
