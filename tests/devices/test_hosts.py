"""Several processes are one learner."""

import itertools
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from patchail_jax.devices.data_parallel import Devices, fetch
from patchail_jax.devices.hosts import Hosts, join, losses_in_one_line
from patchail_jax.devices.mapping import MAPPINGS
from patchail_jax.errors import ProcessLost, UserError
from tests.devices.two_processes import SETTINGS
from tests.small import SPECS, for_devices, make_batch, make_method


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Saying(Hosts):
    """The first of two processes; the other says ``answers``, in turns and without end."""

    def __new__(cls, *answers):
        hosts = super().__new__(cls, 0, 2)
        hosts.answers = itertools.cycle(answers)
        return hosts

    def gather(self, numbers):
        return np.stack([np.asarray(numbers), np.full_like(numbers, next(self.answers))])


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_two_processes_with_two_devices_are_one_process_with_four(tmp_path, mapping):
    port = free_port()
    files = [tmp_path / f"{process}.npz" for process in range(2)]
    command = [sys.executable, "-m", "tests.devices.two_processes", str(port)]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    words = [[*command, str(process), str(file), mapping] for process, file in enumerate(files)]
    running = [subprocess.Popen(one, **output) for one in words]
    outputs = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    learner = Devices(make_method("patchail_w", **SETTINGS), SPECS, count=4)
    state = learner.init(0)
    for call in range(2):
        state, _ = learner.update(state, for_devices([make_batch(call)], 4))
    wanted = jax.tree.leaves(fetch(state))
    for file, reason in zip(
        files,
        ["another process of this run was refused: see its message, and start all again", "no such file"],
        strict=True,
    ):
        with np.load(file) as stored:
            assert stored["agreed"].tolist() == [7, 0, 1] and stored["refused"] == reason
            leaves = [stored[f"arr_{number}"] for number in range(len(wanted))]
        for leaf, other in zip(leaves, wanted, strict=True):
            np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-6)


def test_who_outlives_another_process_closes_its_files_and_ends_at_once_with_one_line(tmp_path):
    command = [sys.executable, "-m", "tests.devices.losing_process", str(free_port())]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = [subprocess.Popen([*command, str(process), "2", "1", str(tmp_path)], **output) for process in range(2)]
    assert running[1].wait(timeout=300) == -signal.SIGKILL
    before = time.monotonic()
    said = running[0].communicate(timeout=300)[0]
    assert running[0].returncode == 1, said
    assert time.monotonic() - before < 20  # less than JAX takes to miss a process, 30
    assert (tmp_path / "closed_0").exists()
    (line,) = (line for line in said.splitlines() if not line.startswith("[Gloo]"))
    assert line.startswith("error: process 0 cannot go on (") and "resume from the last checkpoint" in line


@pytest.mark.parametrize("refused", ["0", "1", "both", "late"])
def test_a_process_that_is_refused_alone_keeps_its_status_and_holds_nobody_up(refused):
    command = [sys.executable, "-m", "tests.devices.refused_process", str(free_port())]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    before = time.monotonic()
    running = [subprocess.Popen([*command, str(process), refused], **output) for process in range(2)]
    said = [process.communicate(timeout=250)[0] for process in running]
    assert time.monotonic() - before < 90  # JAX alone takes 300 seconds
    for process in range(2):
        if refused == "late" and process == 1:
            assert running[process].returncode == 0, said  # it had ended well, and waits as JAX does
        elif refused in (str(process), "both", "late"):
            assert running[process].returncode == 2, said
            assert "error: this process's own folder cannot be written" in said[process]
        else:  # where the first is gone, JAX may come before us
            assert running[process].returncode in (1, -signal.SIGABRT), said


@pytest.mark.parametrize("kind", [ValueError, jax.errors.JaxRuntimeError])
def test_a_lost_process_is_known_by_the_runtime_s_status(kind):
    message = "UNKNOWN: Gloo AllGather failed: Connection closed by peer\nmore"
    with (
        pytest.raises(ProcessLost, match=r"process 1 cannot go on \(UNKNOWN: Gloo .* by peer\);"),
        losses_in_one_line(Hosts(1, 2)),
    ):
        raise kind(message)
    with pytest.raises(kind, match="UNKNOWN"), losses_in_one_line(Hosts()):
        raise kind(message)


@pytest.mark.parametrize("message", ["", "frames must be [T,H,W,3]"])
def test_an_error_of_one_s_own_stays_what_it_is(message):
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$") as raised, losses_in_one_line(Hosts(0, 2)):
        raise ValueError(message)
    assert not isinstance(raised.value, ProcessLost)


def test_process_0_ends_after_the_others(monkeypatch):
    waited = []
    monkeypatch.setattr("patchail_jax.devices.hosts.time.sleep", waited.append)
    for hosts in (Hosts(0, 2), Hosts(1, 3), Hosts(0, 3)):
        with pytest.raises(ProcessLost), losses_in_one_line(hosts):
            raise jax.errors.JaxRuntimeError("INTERNAL: gone")
    assert waited == [5.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coordinator": "", "count": 2, "index": 0}, "need config.hosts.coordinator=ADDRESS:PORT"),
        ({"coordinator": "alone", "count": 2, "index": 0}, "need config.hosts.coordinator=ADDRESS:PORT"),
        ({"coordinator": "here:1", "count": 2, "index": 2}, "with count 2 it must be 0..1"),
        ({"coordinator": "here:1", "count": 2, "index": -1}, "config.hosts.index is -1"),
        ({"coordinator": "here:1", "count": 0, "index": -1}, "needs config.hosts.count"),
        ({"coordinator": "here", "count": 2, "index": 0}, "coordinator is 'here'; it must be ADDRESS:PORT"),
        ({"coordinator": "here:port", "count": 2, "index": 0}, "it must be ADDRESS:PORT"),
        ({"coordinator": "here:0", "count": 2, "index": 0}, "with a port from 1 to 65535"),
        ({"coordinator": "here:65536", "count": 2, "index": 0}, "with a port from 1 to 65535"),
    ],
)
def test_numbers_that_do_not_fit_are_one_line(arguments, message):
    with pytest.raises(UserError, match=message):
        join(**arguments, lost_seconds=60)
