"""What a finished run prints and draws: its returns beside the expert's, and where its reward comes from."""

import csv
import logging

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.maps.explainer import Explainer
from patchail_jax.outputs.explaining_film import ExplainedEpisode
from patchail_jax.outputs.video import write_video
from patchail_jax.reports.pictures import learning_curve, patch_rewards
from patchail_jax.run.parts import Parts

FRAMES_PER_SECOND = 25.0  # agent steps a second, for the eye: not the simulator's time

_log = logging.getLogger(__name__)


def write_summary(run: Parts, evaluation: Evaluation) -> None:
    """Prints first, best and last return and writes ``pictures/`` in the run folder."""
    folder, experts = run.snapshot.folder, run.experts
    with folder.eval_csv.open() as stream:
        returns = [float(row["episode_reward"]) for row in csv.DictReader(stream)]
    expert_return = None if experts is None or experts.returns is None else float(experts.returns.mean())
    against = "" if expert_return is None else f", the expert {expert_return:.1f}"
    _log.info("")
    _log.info("returns: first %.1f, best %.1f, last %.1f%s", returns[0], max(returns), returns[-1], against)

    if not run.specs.feature_count:
        film = folder.pictures / "agent.mp4"
        scale = max(1, 256 // run.specs.image_size)
        write_video(film, evaluation.episode.frames, fps=FRAMES_PER_SECOND, scale=scale)
        _log.info("the agent's last evaluation: %s", film)
    curve = folder.pictures / "learning_curve.png"
    learning_curve(curve, folder.eval_csv, expert_return=expert_return)
    _log.info("learning curve: %s", curve)
    if experts is None or run.method.discriminator is None:
        return
    explainer = Explainer(run.method.discriminator, run.devices, image_size=run.specs.image_size)
    rows = []
    for title, frames in (("expert", experts.demonstration(0)), ("agent", evaluation.episode.frames)):
        rewards, maps = explainer.explain(run.learner.state, frames, ["patch_rewards"])
        rows.append(ExplainedEpisode(title, frames, maps["patch_rewards"], rewards))
    picture = folder.pictures / "patch_rewards.png"
    patch_rewards(picture, rows)
    _log.info("patch rewards, expert above agent: %s", picture)
