"""What an evaluation leaves to look at: a film of the agent beside its patch rewards, histograms, the newest episode.

In the run folder and, where they are on, in the dashboards: ``videos/<frames>.mp4`` and ``histograms.jsonl``. In the
folder alone: ``videos/latest.npz``, the newest episode with every kind of map, from which the run's page is made. A
file that cannot be written costs a warning, and the run goes on.
"""

from typing import Any

import numpy as np

from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.devices.data_parallel import Devices
from patchail_jax.errors import NotFiniteValues
from patchail_jax.files import npz
from patchail_jax.maps.explainer import Explainer
from patchail_jax.maps.kinds import signed
from patchail_jax.outputs.explaining_film import ExplainedEpisode, explaining_film
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.outputs.overlay import limit_of
from patchail_jax.outputs.video import FEW_STEPS, FRAMES_PER_SECOND, enlargement, write_video
from patchail_jax.storage.memory import memory_use
from patchail_jax.storage.run_folder import RunFolder
from patchail_jax.types import all_finite

BINS = 60  # of a histogram, over the range of expert and agent together


class EvaluationOutputs:
    """Writes the pictures and histograms of one run's evaluations."""

    def __init__(
        self, run: RunFolder, devices: Devices, explainer: Explainer | None, experts: ExpertSet | None, *, films: bool
    ) -> None:
        self._run, self._devices, self._films, self._explainer = run, devices, films, explainer
        self._expert = None if experts is None else experts.demonstration(0)

    def write(self, state: Any, evaluation: Evaluation, metrics: Metrics, *, frame: int) -> dict[str, float]:
        """Writes files and dashboards at ``frame`` frames; returns scalars to log with the evaluation's returns."""
        scalars = memory_use(self._devices.devices)
        images = evaluation.episode.frames
        episode: dict[str, np.ndarray] = {"frame": np.asarray(frame), "frames": images}
        if self._explainer is None or self._expert is None:
            if self._films and images.ndim == 4:  # and not physics features
                self._write_film(images, metrics, frame)
                self._write_latest(episode, metrics)
            return scalars
        explainer = self._explainer
        explained = None
        if self._films:
            with metrics.looked_at("films"):  # maps may be more than a device's memory holds
                explained = (
                    explainer.explain(state, self._expert, ["patch_rewards"]),
                    explainer.explain(state, images, explainer.kinds),
                )
        expert, agent = explained or (
            explainer.explain(state, self._expert, []),
            explainer.explain(state, images, []),
        )
        logits = {"expert": expert.logits, "agent": agent.logits}
        rewards = {"expert": expert.rewards, "agent": agent.rewards}
        if not all_finite([*logits.values(), *rewards.values()]):
            raise NotFiniteValues("the discriminator gives rewards that are not finite")
        for name, values in (("logits", logits), ("rewards", rewards)):
            with metrics.looked_at("histograms"):
                _write_histograms(metrics, name, values, frame)
            scalars |= {f"evaluation/{who}_{name[:-1]}": float(value.mean()) for who, value in values.items()}
        right = np.mean(logits["expert"] > 0), np.mean(logits["agent"] < 0)
        scalars["evaluation/discriminator_accuracy"] = float(np.mean(right))
        if explained is not None:
            maps = {kind: signed(kind, one) for kind, one in agent.maps.items()}
            # One scale for expert and agent, as the rewards are to be compared.
            limits = {kind: limit_of([one]) for kind, one in maps.items()}
            limits["patch_rewards"] = limit_of([maps["patch_rewards"], expert.maps["patch_rewards"]])
            with metrics.looked_at("films"):
                film = explaining_film(
                    [ExplainedEpisode("agent", images, maps["patch_rewards"], rewards["agent"])],
                    limit=limits["patch_rewards"],
                )
                self._write_film(film, metrics, frame)
            episode |= {f"maps_{kind}": one.astype(np.float16) for kind, one in maps.items()}
            episode |= {f"limit_{kind}": np.asarray(limit) for kind, limit in limits.items()}
            self._write_latest({**episode, "rewards": rewards["agent"]}, metrics)
        return scalars

    def _write_film(self, images: np.ndarray, metrics: Metrics, frame: int) -> None:
        path = self._run.videos / f"{frame:09d}.mp4"
        with metrics.looked_at("films"):
            write_video(path, images, fps=FRAMES_PER_SECOND, scale=enlargement(images.shape[1]))
            stride = -(-len(images) // FEW_STEPS)  # for dashboards that take no mp4
            metrics.film("evaluation/agent", path, images[::stride], fps=FRAMES_PER_SECOND / stride, frame=frame)

    def _write_latest(self, arrays: dict[str, np.ndarray], metrics: Metrics) -> None:
        with metrics.looked_at("latest.npz"):
            self._run.latest_episode.parent.mkdir(exist_ok=True)
            npz.write(self._run.latest_episode, arrays, compressed=True)


def _write_histograms(metrics: Metrics, name: str, values: dict[str, np.ndarray], frame: int) -> None:
    """Histograms of expert and agent over the same bins."""
    edges = np.histogram_bin_edges(np.concatenate([one.ravel() for one in values.values()]), BINS)
    for who, one in values.items():
        metrics.histogram(f"evaluation/{who}_{name}", np.histogram(one, edges)[0], edges, frame=frame)
