"""Of how many processes one is one, as JAX's clusters say, a TPU VM's by a stand-in of its metadata server."""

import os
import subprocess
import sys

import jax
import pytest
from jax._src import clusters
from jax._src.clusters import cloud_tpu_cluster

from patchail_jax.devices import hosts as hosts_module
from patchail_jax.devices.clusters import Cluster, cluster
from patchail_jax.devices.hosts import Hosts, join
from patchail_jax.errors import UserError
from tests.devices.metadata_server import WORKERS, metadata  # noqa: F401
from tests.devices.test_hosts import free_port

VARIABLES = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "TPU_WORKER_HOSTNAMES", "TPU_SKIP_MDS_QUERY")


@pytest.fixture
def tpu(metadata, monkeypatch):  # noqa: F811
    """The metadata server's attributes, where chips and libtpu are there."""
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return metadata


@pytest.fixture(autouse=True)
def _nobody_has_started_us(monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def test_nobody_else_is_none():
    assert cluster() is None
    assert join(coordinator="", count=0, index=-1, lost_seconds=60) == Hosts(0, 1)


@pytest.mark.parametrize("of_endpoint", ["unknown:unknown:{}", "{}"])  # old images, new ones
def test_a_worker_of_a_tpu_pod_finds_the_three_others(tpu, of_endpoint):
    tpu["worker-network-endpoints"] = ",".join(of_endpoint.format(address) for address in WORKERS)
    assert cluster() == Cluster("gcetpu", 4)


def test_workers_of_a_tpu_pod_meet_at_the_first(tpu, monkeypatch):
    asked = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda **words: asked.update(words, joined=who()))
    monkeypatch.setattr(jax, "process_index", lambda: 2)
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    monkeypatch.setattr(hosts_module.global_state, "num_processes", 4)

    def who():
        return clusters.ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, 1)

    assert join(coordinator="", count=0, index=-1, lost_seconds=60) == Hosts(2, 4)
    assert asked["joined"] == ("10.164.0.2:8482", 4, 2, None)
    assert asked["heartbeat_timeout_seconds"] == 60


def test_two_slices_are_eight_processes(tpu):
    tpu["tpu-env"] = "MEGASCALE_NUM_SLICES: '2'\nMEGASCALE_SLICE_ID: '1'"
    assert cluster() == Cluster("gcetpu", 8)


def test_a_tpu_vm_of_one_host_is_alone(tpu):
    tpu["worker-network-endpoints"] = WORKERS[0]
    assert cluster() == Cluster("gcetpu", 1)
    assert join(coordinator="", count=0, index=-1, lost_seconds=60) == Hosts(0, 1)


def test_a_metadata_server_that_is_not_there_is_one_line(tpu, monkeypatch):
    monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{free_port()}")
    with pytest.raises(UserError, match=r"cannot tell how many processes .*hosts.coordinator: ADDRESS:PORT") as error:
        cluster()
    assert "\n" not in str(error.value)


def test_one_that_is_told_so_asks_nobody_and_is_alone(tpu):
    tpu.clear()
    assert join(coordinator="alone", count=0, index=-1, lost_seconds=60) == Hosts(0, 1)


def test_a_pod_on_gke_is_known_by_its_variables(tpu, monkeypatch):
    tpu.clear()
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "t1v-0,t1v-1")
    assert cluster() == Cluster("gketpu", 2)
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
    assert cluster() == Cluster("gketpu", 1)


def test_a_task_of_slurm_is_known_by_its_variables(monkeypatch):
    step = {"JOB_ID": "7", "STEP_NODELIST": "node[1-2]", "NTASKS": "2", "PROCID": "0", "LOCALID": "0"}
    for name, value in step.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    assert cluster() == Cluster("slurm", 2)
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert cluster() == Cluster("slurm", 1)


@pytest.mark.parametrize(
    ("variable", "value", "launcher"),
    [
        ("OMPI_COMM_WORLD_SIZE", "4", "Open MPI has started 4"),  # version 5, whose address JAX does not know
        ("SLURM_STEP_NUM_TASKS", "3", "SLURM has started 3"),
        ("TPU_WORKER_HOSTNAMES", "t1v-0,t1v-1", "GKE has started 2"),  # in an image without libtpu
    ],
)
def test_processes_that_jax_does_not_know_of_are_refused(monkeypatch, variable, value, launcher):
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=f"{launcher} processes, and JAX does not find the others; set config.hosts"):
        join(coordinator="", count=0, index=-1, lost_seconds=60)


@pytest.mark.parametrize("coordinator", ["", "alone"])
def test_devices_of_more_processes_than_have_met_are_refused(monkeypatch, coordinator):
    """What a worker of a slice sees that has been started alone."""
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    with pytest.raises(UserError, match="JAX's devices belong to 4 processes, and 1 have met here"):
        join(coordinator=coordinator, count=0, index=-1, lost_seconds=60)


def test_an_accelerator_that_is_not_there_is_one_line():
    code = "from patchail_jax.devices.hosts import join\njoin(coordinator='', count=0, index=-1, lost_seconds=60)"
    environment = {**os.environ, "JAX_PLATFORMS": "cuda"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "UserError: JAX cannot start on this machine (JAX_PLATFORMS=cuda): " in done.stderr.splitlines()[-1], (
        done.stderr
    )
