"""What lies in the folder of one run, and where."""

from pathlib import Path

from patchail_jax.storage import run_names


class RunPaths:
    """The files and folders in the run folder ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def metrics_jsonl(self) -> Path:
        """Every scalar, a JSON object a line."""
        return self.path / run_names.METRICS

    @property
    def eval_csv(self) -> Path:
        """Evaluations alone, for plots."""
        return self.path / run_names.EVALUATIONS

    @property
    def checkpoints(self) -> Path:
        """Orbax checkpoints."""
        return self.path / run_names.CHECKPOINTS

    @property
    def parameters(self) -> Path:
        """The parameters alone, of now and then (``storage.parameters``)."""
        return self.path / run_names.PARAMETERS

    @property
    def pictures(self) -> Path:
        """Drawn when the run ends."""
        return self.path / run_names.PICTURES

    @property
    def profile(self) -> Path:
        """A trace of a few updates."""
        return self.path / run_names.PROFILE

    @property
    def histograms_jsonl(self) -> Path:
        """What the discriminator says of expert and agent at each evaluation, a histogram a line."""
        return self.path / run_names.HISTOGRAMS

    @property
    def videos(self) -> Path:
        """A film an evaluation, named by frames."""
        return self.path / run_names.VIDEOS

    @property
    def latest_episode(self) -> Path:
        """The newest evaluation's episode, and its maps."""
        return self.videos / run_names.LATEST_EPISODE
