"""Shares of wall time add up, and memory is that of this process."""

import time

import numpy as np
import pytest

from patchail_jax.outputs.memory_use import memory_use
from patchail_jax.outputs.wall_time import WallTime


def test_shares_add_up_to_one_and_start_anew():
    wall_time = WallTime()
    for _ in range(2):
        with wall_time.part("acting"):
            time.sleep(0.02)
    time.sleep(0.02)
    shares = wall_time.close()
    assert sum(shares.values()) == pytest.approx(1.0) and 0.3 < shares["time/acting_share"] < 0.9
    assert wall_time.close() == {"time/other_share": 1.0}


def test_a_part_that_fails_is_counted_too():
    wall_time = WallTime()
    with pytest.raises(ZeroDivisionError), wall_time.part("learning"):
        _ = 1 / 0
    assert "time/learning_share" in wall_time.close()


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
