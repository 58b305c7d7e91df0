"""Shares of wall time add up, and memory is that of this process."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.run import stopwatch
from patchail_jax.storage.memory import memory_use, peak_memory


def test_shares_add_up_to_one_and_start_anew(monkeypatch):
    seconds = 0.0
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(monotonic=lambda: seconds))
    watch = stopwatch.Stopwatch()
    for part in ("acting", "environment", "acting"):
        seconds += 0.02
        watch.lap(part)
    assert watch.read(updates=3) == pytest.approx(
        {"time/updates_per_second": 3 / 0.06, "time/acting": 2 / 3, "time/environment": 1 / 3}
    )
    seconds += 1.0
    assert watch.read(updates=0) == {"time/updates_per_second": 0.0}


def test_memory_grows_by_what_is_allocated_and_devices_tell_theirs():
    class Device:
        def __init__(self, used):
            self.used = used

        def memory_stats(self):
            return None if self.used is None else {"bytes_in_use": self.used, "peak_bytes_in_use": 2 * self.used}

    before = memory_use()
    block = np.ones(2**25)  # a quarter of a GiB
    after = memory_use([Device(2**30), Device(None), Device(2**31)])
    assert after["memory/host_gib"] - before["memory/host_gib"] == pytest.approx(0.25, abs=0.05) and block.all()
    assert after["memory/host_peak_gib"] >= after["memory/host_gib"] - 0.01
    assert after["memory/device_gib"] == 2.0 and after["memory/device_peak_gib"] == 4.0
    assert "memory/device_gib" not in memory_use([Device(None)])


def test_the_peak_is_this_process_s_own_and_not_that_of_the_parent_that_started_it():
    ballast = np.ones(2**26)  # half a GiB, touched
    code = "from patchail_jax.storage.memory import peak_memory; print(peak_memory())"
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert child < ballast.nbytes < peak_memory()
