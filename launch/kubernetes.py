"""Runs a sweep on Kubernetes, a JobSet a run: ``patchail launch kubernetes table1 --image=IMAGE --volume=CLAIM``.

For GKE, clusters made by xpk included, and any other cluster with the JobSet controller. On TPUs a run has a pod on
each host of its slice (``--tpu=tpu-v5-lite-podslice --topology=4x4 --hosts=4 --chips=4``), else one with ``--gpus``.
Run folders lie on a volume that the pods share, or under a ``--root`` such as gs://mine/runs. The same command later
starts what has failed again, and leaves alone what goes on and what has finished. ``launch/Dockerfile`` makes the
image. The W&B key comes from the Secret ``--wandb_secret``, key ``api-key``.
"""

import math
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.launch import jobsets, options
from patchail_jax.launch.manifest import hand_over, require_shared, to_yaml
from patchail_jax.launch.outside import run_program
from patchail_jax.launch.standing import TO_DO, left
from patchail_jax.launch.sweeps.sweep import JAX_PLATFORMS, PlannedRun, command, identifier, on_platform
from patchail_jax.programs.arguments import not_negative, optional_word, positive, word
from patchail_jax.programs.console import BAD_INPUT

NAME_LIMIT = 40  # characters; the controller adds its own to a pod's name, and 63 is the end
# From SIGTERM to SIGKILL: for a checkpoint of a large replay, and the most that a Spot node has left.
GRACE_SECONDS, SPOT_SECONDS = 600, 25
LOOK_SECONDS = 30.0  # between two looks at how many runs go on
MOUNT = "/runs"
USER = 1000  # the image's, who must be able to write to the volume
DRIVER = "/usr/local/nvidia/lib64"  # where GKE puts it, which is on no path of the image's loader


class PodPlace(NamedTuple):
    """Where a run goes, and what it finds there."""

    image: str
    volume: str
    wandb_secret: str
    service_account: str
    queue: str
    spot: bool
    tpu: str
    topology: str
    hosts: int
    chips: int
    gpus: int
    gpu_type: str
    cpus: int
    memory_gb: int
    restarts: int

    @property
    def platform(self) -> str:
        """What JAX must find there: "gpu", "tpu", or "" for CPUs."""
        return "tpu" if self.tpu else "gpu" if self.gpus else ""


def job_set(run: PlannedRun, sweep: str, place: PodPlace) -> dict[str, Any]:
    """The JobSet of one run: its pods start over together, and the program goes on from its checkpoint.

    A pod that is taken away by the cluster starts again by itself; what the program refuses is not tried again.
    """
    hosts = place.hosts if place.tpu else 1
    labels = _labels(run, sweep)
    pod = {"metadata": {"labels": dict(labels)}, "spec": _pod(run, place)}
    bad_input = {"containerName": "patchail", "operator": "In", "values": [BAD_INPUT]}
    job = {
        "parallelism": hosts,
        "completions": hosts,
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": bad_input},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "template": pod,
    }
    metadata: dict[str, Any] = {"name": _name(run, sweep), "labels": labels}
    if place.queue:
        metadata["labels"] = {**labels, "kueue.x-k8s.io/queue-name": place.queue}
    if place.tpu:  # one slice a run, and nobody else on it
        metadata["annotations"] = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
    refused = {"name": "refused", "action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": {"maxRestarts": place.restarts, "rules": [refused]},
            "replicatedJobs": [{"name": "run", "replicas": 1, "template": {"spec": job}}],
        },
    }


def _pod(run: PlannedRun, place: PodPlace) -> dict[str, Any]:
    accelerators = {"google.com/tpu": place.chips} if place.tpu else {"nvidia.com/gpu": place.gpus}
    needs: dict[str, Any] = {name: count for name, count in accelerators.items() if count}
    needs |= {"cpu": place.cpus, "memory": f"{place.memory_gb}Gi"}
    run = on_platform(run, place.platform)
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
        "terminationGracePeriodSeconds": SPOT_SECONDS if place.spot else GRACE_SECONDS,
        "containers": [container],
    }
    if place.service_account:
        pod["serviceAccountName"] = place.service_account
    if place.volume:
        container["volumeMounts"] = [{"name": "runs", "mountPath": MOUNT}]
        pod["volumes"] = [{"name": "runs", "persistentVolumeClaim": {"claimName": place.volume}}]
        pod["securityContext"] = {"fsGroup": USER}
    nodes = {}
    if place.tpu:
        nodes["cloud.google.com/gke-tpu-accelerator"] = place.tpu
        nodes["cloud.google.com/gke-tpu-topology"] = place.topology
    elif place.gpu_type:
        nodes["cloud.google.com/gke-accelerator"] = place.gpu_type
    if place.spot:
        nodes["cloud.google.com/gke-spot"] = "true"
        pod["tolerations"] = [{"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"}]
    if nodes:
        pod["nodeSelector"] = nodes
    return pod


def _environment(place: PodPlace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if place.platform:
        found.append({"name": "JAX_PLATFORMS", "value": JAX_PLATFORMS[place.platform]})
    if place.platform == "gpu":
        found.append({"name": "LD_LIBRARY_PATH", "value": DRIVER})
    if place.wandb_secret:
        reference = {"name": place.wandb_secret, "key": "api-key"}
        found.append({"name": "WANDB_API_KEY", "valueFrom": {"secretKeyRef": reference}})
    return found


def _name(run: PlannedRun, sweep: str) -> str:
    return identifier(sweep, run.name, limit=NAME_LIMIT)


def _labels(run: PlannedRun, sweep: str) -> dict[str, str]:
    """By what runs are found: ``kubectl get pods -l patchail/task=finger,patchail/seed=0``."""
    task, method, *_, seed = run.name.split("/")
    found = {"patchail/task": task, "patchail/method": method, "patchail/seed": seed.removeprefix("seed_")}
    return {name: jobsets.label(value) for name, value in {jobsets.SWEEP: sweep, **found}.items()}


def _require_all_chips(topology: str, *, hosts: int, chips: int) -> None:
    """``UserError`` unless the hosts have all chips of a slice: GKE would never find room for their pods."""
    known = re.fullmatch(r"\d+(x\d+)+", topology)
    if not known or math.prod(map(int, topology.split("x"))) != hosts * chips:
        raise UserError(
            f"--topology={topology} must be of the {hosts * chips} chips that --hosts={hosts} with --chips={chips} "
            "have, as 4x4 is of 16"
        )


def main(argv: Sequence[str]) -> int:
    """The launcher; returns the exit status of kubectl."""
    flags = options.parser(__doc__, launcher="kubernetes")
    flags.add_argument("--image", type=word, required=True, help="the container's image")
    flags.add_argument(
        "--volume", type=optional_word, default="", help=f"ReadWriteMany volume claim to mount at {MOUNT}"
    )
    flags.add_argument(
        "--wandb_secret", type=optional_word, default="", help="name of the Secret that holds the W&B key"
    )
    flags.add_argument("--namespace", type=optional_word, default="", help="default: kubectl's current namespace")
    flags.add_argument(
        "--service_account",
        type=optional_word,
        default="",
        help="account of the pods, which may write to the bucket of --root",
    )
    flags.add_argument("--queue", type=optional_word, default="", help="Kueue's local queue, which admits the runs")
    flags.add_argument(
        "--jobs",
        type=not_negative,
        default=0,
        help="runs at a time (0: all); the launcher waits until the last has started",
    )
    flags.add_argument("--spot", action="store_true", help=f"cheaper, taken away with {SPOT_SECONDS} s to save")
    flags.add_argument("--tpu", type=optional_word, default="", help="TPU type in GKE, such as tpu-v5-lite-podslice")
    flags.add_argument("--topology", type=word, default="4x4", help="topology of the slice")
    flags.add_argument("--hosts", type=positive, default=4, help="hosts of the slice")
    flags.add_argument("--chips", type=positive, default=4, help="TPU chips on a host")
    flags.add_argument("--gpus", type=not_negative, default=1, help="GPUs of a run without a TPU")
    flags.add_argument("--gpu_type", type=optional_word, default="", help="GPU type in GKE, for example nvidia-l4")
    flags.add_argument("--cpus", type=positive, default=8, help="CPU cores of a pod")
    flags.add_argument("--memory_gb", type=positive, default=64, help="memory of a pod")
    flags.add_argument("--restarts", type=not_negative, default=10, help="how often a run is restarted")
    chosen, runs = options.parse(flags, argv, parent=MOUNT)
    require_shared(chosen.root, mount=MOUNT if chosen.volume else "", flag="--volume")
    if chosen.tpu and chosen.gpu_type:
        raise UserError("--tpu and --gpu_type exclude each other: a run has one kind of accelerator")
    if chosen.tpu:
        _require_all_chips(chosen.topology, hosts=chosen.hosts, chips=chosen.chips)
    if chosen.tpu and chosen.hosts > 1:
        options.require_several_hosts(runs, instead="use a slice of one host, or other --methods")
    place = PodPlace(*(getattr(chosen, field) for field in PodPlace._fields))
    wanted = {run.name: job_set(run, chosen.sweep, place) for run in runs}
    kubectl = ("kubectl", *((f"--namespace={chosen.namespace}",) if chosen.namespace else ()))
    if chosen.dry_run:  # without a question to the cluster
        apply = [*kubectl, "apply", "-f", "-"]
        return hand_over(apply, to_yaml([wanted[run.name] for run in left(runs)]), dry_run=True)
    known = jobsets.compare(wanted, jobsets.ask(kubectl, chosen.sweep), kubectl)
    runs = left(runs, queued={name: state for name, state in known.items() if state != TO_DO})
    if not runs:
        sys.stdout.write("nothing is left to do\n")
        return 0
    return _start([wanted[run.name] for run in runs], kubectl, chosen.sweep, at_once=chosen.jobs)


def _start(waiting: list[dict[str, Any]], kubectl: Sequence[str], sweep: str, *, at_once: int) -> int:
    """Hands over JobSets, ``at_once`` at a time where that is not 0; returns the exit status of the last kubectl.

    A JobSet of the same name that has ended is deleted before. One that another launcher has begun meanwhile, or that
    has finished, is left alone. ``UserError`` where it runs with other flags.
    """
    while True:
        there = jobsets.ask(kubectl, sweep, again=LOOK_SECONDS)
        known = jobsets.compare({made["metadata"]["name"]: made for made in waiting}, there, kubectl)
        for name, state in known.items():
            if state != TO_DO:
                sys.stderr.write(f"{name} is {state}: another launcher has started it meanwhile\n")
        waiting = [made for made in waiting if known[made["metadata"]["name"]] == TO_DO]
        room = max(at_once - jobsets.count_active(there), 0) if at_once else len(waiting)
        now, waiting = waiting[:room], waiting[room:]
        ended = [made["metadata"]["name"] for made in now if made["metadata"]["name"] in there]
        # In the foreground: a new JobSet must not find the Jobs of the old one, which have the same names.
        status = run_program([*kubectl, "delete", "jobset", *ended, "--cascade=foreground"]) if ended else 0
        if now and not status:
            status = hand_over([*kubectl, "apply", "-f", "-"], to_yaml(now), dry_run=False)
        if status or not waiting:
            return status
        if now:
            sys.stdout.write(f"{len(waiting)} wait; after Ctrl-C the same command resumes\n")
        time.sleep(LOOK_SECONDS)
