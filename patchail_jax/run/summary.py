"""What a finished run prints and draws: its returns beside the expert's, and where its reward comes from."""

import csv
import logging

import numpy as np

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.maps.patch_map import patch_map
from patchail_jax.outputs.explaining_film import ExplainedEpisode
from patchail_jax.outputs.video import write_video
from patchail_jax.reports.pictures import learning_curve, patch_rewards
from patchail_jax.train import Training

FRAMES_PER_SECOND = 25.0  # agent steps a second, for the eye: not the simulator's time
_PICTURES = "pictures of the finished run"  # as a kind of output that may fail

_log = logging.getLogger(__name__)


def write_summary(training: Training, evaluation: Evaluation) -> None:
    """Prints first, best and last return and writes ``pictures/`` in the run folder.

    A picture that cannot be written costs a warning, and the others nothing.
    """
    run, experts = training.run, training.experts
    with run.eval_csv.open() as stream:
        returns = [float(row["episode_reward"]) for row in csv.DictReader(stream)]
    if not returns:  # a full disk may have cost every line
        returns = [float(evaluation.returns.mean())]
    expert_return = None if experts is None or experts.returns is None else float(experts.returns.mean())
    against = "" if expert_return is None else f", the expert {expert_return:.1f}"
    _log.info("")
    _log.info("returns: first %.1f, best %.1f, last %.1f%s", returns[0], max(returns), returns[-1], against)

    if not training.specs.feature_count:
        with training.metrics.looked_at(_PICTURES):
            film = run.pictures / "agent.mp4"
            scale = max(1, 256 // training.specs.image_size)
            write_video(film, evaluation.episode.frames, fps=FRAMES_PER_SECOND, scale=scale)
            _log.info("the agent's last evaluation: %s", film)
    with training.metrics.looked_at(_PICTURES):
        curve = run.pictures / "learning_curve.png"
        learning_curve(curve, run.eval_csv, expert_return=expert_return)
        _log.info("learning curve: %s", curve)
    with training.metrics.looked_at(_PICTURES):
        _write_patch_rewards(training, evaluation)


def _write_patch_rewards(training: Training, evaluation: Evaluation) -> None:
    """Draws what the discriminator says of the expert and of the agent; nothing for a method without patches."""
    if training.experts is None:
        return
    rows = []
    for title, images in (("expert", training.experts.frames[0]), ("agent", evaluation.episode.frames)):
        rewards = training.devices.judge(training.state, images)
        layers = training.method.layers
        if rewards is None or layers is None:
            return
        maps = patch_map(rewards, image_size=training.specs.image_size, layers=layers)
        rows.append(ExplainedEpisode(title, images, np.asarray(maps), rewards.mean(axis=(1, 2))))
    picture = training.run.pictures / "patch_rewards.png"
    patch_rewards(picture, rows)
    _log.info("patch rewards, expert above agent: %s", picture)
