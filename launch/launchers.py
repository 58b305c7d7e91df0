"""What starts the runs of a sweep: ``patchail launch LAUNCHER SWEEP ...``."""

from collections.abc import Sequence

from patchail_jax.launch.sweeps.paper import SWEEPS
from patchail_jax.programs.verbs import Verb, call

LAUNCHERS = {
    "local": Verb("patchail_jax.launch.local:main", "on this machine, some at a time"),
    "slurm": Verb("patchail_jax.launch.slurm:main", "on a SLURM cluster, an array job"),
    "tpu_pod": Verb("patchail_jax.launch.tpu_pod:main", "on a TPU pod slice, one run after another"),
    "kubernetes": Verb("patchail_jax.launch.kubernetes:main", "on Kubernetes, a JobSet a run"),
    "skypilot": Verb("patchail_jax.launch.skypilot:main", "on any cloud by SkyPilot, a managed job a run"),
}
TEXT = f"""\
sweeps: {", ".join(list(SWEEPS)[:7])},
        {", ".join(list(SWEEPS)[7:])}

example: patchail launch local figure6a --jobs=2 --dry_run

"""


def main(argv: Sequence[str]) -> int | None:
    """Starts the sweep that ``argv`` asks for; returns the launcher's exit status."""
    return call("patchail launch", LAUNCHERS, argv, what="launcher", text=TEXT)
