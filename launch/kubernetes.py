"""Runs a sweep on Kubernetes, a JobSet a run: ``patchail launch kubernetes table1 --image=IMAGE --volume=CLAIM``.

For GKE, clusters made by xpk included, and any other cluster with the JobSet controller. On TPUs a run has a pod on
each host of its slice (``--tpu=tpu-v5-lite-podslice --topology=4x4 --hosts=4 --chips=4``), else one with ``--gpus``.
Run folders lie on a volume that the pods share, or under a ``--root`` such as gs://mine/runs. ``launch/Dockerfile``
makes the image. The W&B key comes from the Secret ``--wandb_secret``, key ``api-key``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from patchail_jax.launch import options
from patchail_jax.launch.manifest import hand_over, require_shared, to_yaml
from patchail_jax.launch.sweeps.sweep import PlannedRun, command, identifier

NAME_LIMIT = 40  # characters; the controller adds its own to a pod's name, and 63 is the end
GRACE_SECONDS = 600  # from SIGTERM to SIGKILL: a checkpoint of a large replay
MOUNT = "/runs"


class Place(NamedTuple):
    """Where a run goes, and what it finds there."""

    image: str
    volume: str
    wandb_secret: str
    tpu: str
    topology: str
    hosts: int
    chips: int
    gpus: int
    cpus: int
    memory_gb: int
    restarts: int


def job_set(run: PlannedRun, sweep: str, place: Place) -> dict[str, Any]:
    """The JobSet of one run: its pods start over together, and the program goes on from its checkpoint."""
    accelerators = {"google.com/tpu": place.chips} if place.tpu else {"nvidia.com/gpu": place.gpus}
    needs: dict[str, Any] = {name: count for name, count in accelerators.items() if count}
    needs |= {"cpu": place.cpus, "memory": f"{place.memory_gb}Gi"}
    hosts = place.hosts if place.tpu else 1
    container: dict[str, Any] = {
        "name": "patchail",
        "image": place.image,
        # No shell, so nothing to quote; but Kubernetes itself reads $(NAME), unless the dollar is doubled.
        "command": [word.replace("$(", "$$(") for word in command(run, python="/patchail_jax/.venv/bin/python")],
        "env": _environment(place),
        "resources": {"requests": needs, "limits": dict(needs)},
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",  # the JobSet starts over, all hosts together
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [container],
    }
    if place.volume:
        container["volumeMounts"] = [{"name": "runs", "mountPath": MOUNT}]
        pod["volumes"] = [{"name": "runs", "persistentVolumeClaim": {"claimName": place.volume}}]
    if place.tpu:
        pod["nodeSelector"] = {
            "cloud.google.com/gke-tpu-accelerator": place.tpu,
            "cloud.google.com/gke-tpu-topology": place.topology,
        }
    job = {"parallelism": hosts, "completions": hosts, "backoffLimit": 0, "template": {"spec": pod}}
    metadata = {"name": identifier(sweep, run.name, limit=NAME_LIMIT), "labels": {"patchail/sweep": sweep}}
    if place.tpu:  # one slice a run, and nobody else on it
        metadata["annotations"] = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": {"maxRestarts": place.restarts},
            "replicatedJobs": [{"name": "run", "replicas": 1, "template": {"spec": job}}],
        },
    }


def _environment(place: Place) -> list[dict[str, Any]]:
    if not place.wandb_secret:
        return []
    reference = {"name": place.wandb_secret, "key": "api-key"}
    return [{"name": "WANDB_API_KEY", "valueFrom": {"secretKeyRef": reference}}]


def main(argv: Sequence[str]) -> int:
    """The launcher; returns the exit status of kubectl."""
    flags = options.parser(__doc__, launcher="kubernetes")
    flags.add_argument("--image", required=True, help="the container's image")
    flags.add_argument("--volume", default="", help=f"persistent volume claim, ReadWriteMany, that becomes {MOUNT}")
    flags.add_argument("--wandb_secret", default="", help="name of the Secret that holds the W&B key")
    flags.add_argument("--tpu", default="", help="GKE's name of a TPU, for example tpu-v5-lite-podslice")
    flags.add_argument("--topology", default="4x4", help="of the slice")
    flags.add_argument("--hosts", type=int, default=4, help="of the slice")
    flags.add_argument("--chips", type=int, default=4, help="TPU chips of a host")
    flags.add_argument("--gpus", type=int, default=1, help="of a run that has no TPU")
    flags.add_argument("--cpus", type=int, default=8, help="of a pod")
    flags.add_argument("--memory_gb", type=int, default=64, help="of a pod")
    flags.add_argument("--restarts", type=int, default=10, help="of a run")
    chosen, runs = options.parse(flags, argv, parent=MOUNT)
    require_shared(chosen.root, mount=MOUNT if chosen.volume else "", flag="--volume")
    place = Place(*(getattr(chosen, field) for field in Place._fields))
    text = to_yaml([job_set(run, chosen.sweep, place) for run in runs])
    return hand_over(["kubectl", "apply", "-f", "-"], text, dry_run=chosen.dry_run)
