"""Several processes are one learner."""

import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from patchail_jax.devices.data_parallel import Devices, fetch
from patchail_jax.devices.hosts import Hosts, cluster, join
from patchail_jax.errors import UserError
from tests.devices.two_processes import SETTINGS
from tests.small import SPECS, for_devices, make_batch, make_method


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_with_two_devices_are_one_process_with_four(tmp_path):
    port = free_port()
    files = [tmp_path / f"{process}.npz" for process in range(2)]
    command = [sys.executable, "-m", "tests.devices.two_processes", str(port)]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = [subprocess.Popen([*command, str(process), str(file)], **output) for process, file in enumerate(files)]
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    learner = Devices(make_method("patchail_w", **SETTINGS), SPECS, count=4)
    state = learner.init(0)
    for call in range(2):
        state, _ = learner.update(state, for_devices([make_batch(call)], 4))
    wanted = jax.tree.leaves(fetch(state))
    for file in files:
        with np.load(file) as stored:
            assert stored["agreed"].tolist() == [7, 0, 1]
            leaves = [stored[f"arr_{number}"] for number in range(len(wanted))]
        for leaf, other in zip(leaves, wanted, strict=True):
            np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-6)


def test_a_launcher_is_known_by_its_variables(monkeypatch):
    for variable in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(variable, raising=False)
    assert cluster() is None
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert cluster() is None
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "t1v-0,t1v-1")
    assert cluster() == "TPU"
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    assert cluster() == "Open MPI"


def test_one_process_meets_nobody():
    assert join(coordinator="", count=0, index=-1, lost_seconds=60) == Hosts(0, 1)
    assert Hosts().smallest(3) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinator": "", "count": 2, "index": 0}, "need config.hosts.coordinator=ADDRESS:PORT"),
        ({"coordinator": "here:1", "count": 2, "index": 2}, "with count 2 it must be 0..1"),
        ({"coordinator": "here:1", "count": 0, "index": -1}, "config.hosts.index is -1"),
    ],
)
def test_numbers_that_do_not_fit_are_one_line(arguments, message):
    with pytest.raises(UserError, match=message):
        join(**arguments, lost_seconds=60)
