"""What a finished run prints and draws: its returns beside the expert's, and where its reward comes from."""

import logging

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.outputs.explaining_film import ExplainedEpisode
from patchail_jax.outputs.video import FRAMES_PER_SECOND, enlargement, write_video
from patchail_jax.reports.eval_csv import read_eval_csv
from patchail_jax.reports.pictures import learning_curve, patch_rewards
from patchail_jax.reports.published import method_label
from patchail_jax.run.parts import Parts

_PICTURES = "pictures of the finished run"  # as a kind of output that may fail

_log = logging.getLogger(__name__)


def write_summary(run: Parts, evaluation: Evaluation) -> None:
    """Prints first, best and last return and writes ``pictures/`` in the run folder.

    A picture that cannot be written costs a warning, and the others nothing.
    """
    folder, metrics, experts = run.snapshot.folder, run.log.metrics, run.experts
    found = None
    with metrics.looked_at("the returns of eval.csv"):
        found = read_eval_csv(folder.eval_csv)
    # A full disk may have cost every line.
    returns = found.returns if found and len(found.returns) else evaluation.returns.mean(keepdims=True)
    expert_return = None if experts is None or experts.returns is None else float(experts.returns.mean())
    against = "" if expert_return is None else f", the expert {expert_return:.1f}"
    _log.info("")
    _log.info("returns: first %.1f, best %.1f, last %.1f%s", returns[0], returns.max(), returns[-1], against)

    if not run.specs.feature_count:
        with metrics.looked_at(_PICTURES):
            film = folder.pictures / "agent.mp4"
            scale = enlargement(run.specs.image_size)
            write_video(film, evaluation.episode.frames, fps=FRAMES_PER_SECOND, scale=scale)
            _log.info("the agent's last evaluation: %s", film)
    if found:
        with metrics.looked_at(_PICTURES):
            curve, config = folder.pictures / "learning_curve.png", run.config
            title = f"{config.env.task}, seed {config.seed}"
            learning_curve(curve, found, label=method_label(config.method), title=title, expert_return=expert_return)
            _log.info("learning curve: %s", curve)
    with metrics.looked_at(_PICTURES):
        _write_patch_rewards(run, evaluation)
    commands = [f"patchail reports html {folder.path}"]
    if run.method.discriminator is not None:
        commands.insert(0, f"patchail explain --run={folder.path} --input=expert,agent")
    _log.info("next: %s", "\n      ".join(commands))


def _write_patch_rewards(run: Parts, evaluation: Evaluation) -> None:
    """Draws what the discriminator says of the expert and of the agent; nothing for a method without one."""
    if run.experts is None or run.explainer is None:
        return
    rows = []
    for title, images in (("expert", run.experts.demonstration(0)), ("agent", evaluation.episode.frames)):
        _, rewards, maps = run.explainer.explain(run.learner.state, images, ["patch_rewards"])
        rows.append(ExplainedEpisode(title, images, maps["patch_rewards"], rewards))
    picture = run.snapshot.folder.pictures / "patch_rewards.png"
    patch_rewards(picture, rows, form=run.config.reward.form)
    _log.info("patch rewards, expert above agent: %s", picture)
