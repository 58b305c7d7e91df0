"""How much memory a run takes, on the host and on its devices."""

import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_GIB = 2.0**30


def memory_use(devices: Sequence[Any] = ()) -> dict[str, float]:
    """GiB: the process's now and at its peak, and the most on any of ``devices``, where they tell (CPUs do not)."""
    # Linux counts the peak in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    use = {"memory/host_peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _GIB}
    statm = Path("/proc/self/statm")
    if statm.exists():
        use["memory/host_gib"] = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _GIB
    for name, key in (("device", "bytes_in_use"), ("device_peak", "peak_bytes_in_use")):
        known = [stats[key] for device in devices if (stats := device.memory_stats()) and key in stats]
        if known:
            use[f"memory/{name}_gib"] = max(known) / _GIB
    return use
