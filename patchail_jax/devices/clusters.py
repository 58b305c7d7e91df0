"""How many processes train this run together: asks JAX's own cluster classes, as ``jax.distributed.initialize`` does.

They know SLURM, Open MPI, GKE's TPUs by their variables, and a TPU VM by the metadata server of its cloud.
"""

import os
import warnings
from typing import NamedTuple

from jax._src.clusters import ClusterEnv

from patchail_jax.errors import UserError, one_line

# Variables of launchers that have started several processes, whether or not JAX knows how those meet.
_SIZES = {"SLURM": "SLURM_STEP_NUM_TASKS", "Open MPI": "OMPI_COMM_WORLD_SIZE"}
_TPU_WORKERS = "TPU_WORKER_HOSTNAMES"
_REMEDY = "set config.hosts.coordinator: ADDRESS:PORT where they meet, or alone for a run of this process"


class Cluster(NamedTuple):
    """What started this process, by JAX's name of it, and how many it started."""

    name: str
    processes: int


def cluster() -> Cluster | None:
    """The cluster that JAX finds this process in; None where there is none.

    ``UserError`` where JAX cannot say, and where a launcher has started several processes that JAX does not know of:
    each would train alone.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that its package for Kubernetes' own clusters is missing
            kind = next((kind for kind in ClusterEnv._cluster_types if _asks(kind) and kind.is_env_present()), None)
            found = None if kind is None else Cluster(kind.name or kind.__name__, kind.get_process_count())
    except Exception as error:
        raise UserError(
            f"JAX cannot tell how many processes this run has ({one_line(error, 200)}); {_REMEDY}"
        ) from error
    for launcher, started in _started().items():
        if started > 1 and (found is None or found.processes == 1):
            raise UserError(f"{launcher} has started {started} processes, and JAX does not find the others; {_REMEDY}")
    return found


def _asks(kind: type[ClusterEnv]) -> bool:
    """Whether JAX asks this class without being told to."""
    return not kind.opt_in_only_method


def _started() -> dict[str, int]:
    """How many processes each launcher says it has started."""
    sizes = {name: int(os.environ.get(variable, "1")) for name, variable in _SIZES.items()}
    return {**sizes, "GKE": len(os.environ.get(_TPU_WORKERS, "").split(","))}
