"""Memory: what is free for the replay, asked before it fills, and what a run takes."""

import re
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from patchail_jax.errors import UserError

_GIB = 1024**3
_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def available() -> int:
    """Bytes that this process can still take: the machine's, or those of a control group it is in where that is less.

    A group's usage counts the pages of files it has read and written; the inactive ones are given back on demand.
    """
    free = int(psutil.virtual_memory().available)
    for group, limit_file, usage_file, reclaimable in _groups():
        try:
            limit, usage = (int((group / name).read_text()) for name in (limit_file, usage_file))
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such group, or the limit is "max"
            continue
        free = min(free, limit - usage + int(statistics.get(reclaimable, 0)))
    return max(free, 0)


def _groups() -> Iterator[tuple[Path, str, str, str]]:
    """Folders of this process's memory group and of all groups around it, with the names that their version uses.

    None where the system has no control groups (macOS) or does not show them.
    """
    try:
        lines = _OWN_GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if not controllers:  # version 2
            root, files = _CGROUP, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = _CGROUP / "memory"
            files = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Inside a container the name may be the host's: then only the root is there, and it is the container's.
        group = root / name.lstrip("/")
        for folder in (group, *group.parents):
            yield (folder, *files)
            if folder == root:
                break


def passing_through(replay: int) -> int:
    """Bytes that a save and a resume take beside a replay of so many bytes, at the most.

    They copy it in slices (``checkpoint_arrays``): up to 64 MiB are in memory as they are, and compressed. The
    allocator keeps what the threads have used of that. Measured with frames that do not compress: 0.14 GiB after six
    saves of 1 GiB, 0.24 after one of 2 GiB, and no more beyond.
    """
    return min(replay // 7, 2**29)


def require_memory(needed: int, *, of: str = "replay") -> str:
    """A line for the log; ``UserError`` when the ``needed`` bytes ``of`` a replay and its checkpoints are not free."""
    free, passing = available(), passing_through(needed)
    if needed + passing > free:
        raise UserError(
            f"the {of} needs {needed / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB of memory are free, "
            f"of which a save takes {passing / _GIB:.2f}; "
            "lower config.replay.capacity or config.env.image_size"
        )
    return f"{of}: {needed / _GIB:.2f} GiB of {free / _GIB:.1f} GiB free memory"


def peak_memory() -> int:
    """The most bytes of memory that this process has had."""
    # What getrusage tells on Linux counts the parent's memory too, up to the fork.
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if found:
        return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory_use(devices: Sequence[Any] = ()) -> dict[str, float]:
    """GiB: the process's now and at its peak, and the most on any of ``devices``, where they tell (CPUs do not)."""
    use = {
        "memory/host_peak_gib": peak_memory() / _GIB,
        "memory/host_gib": psutil.Process().memory_info().rss / _GIB,
    }
    for name, key in (("device", "bytes_in_use"), ("device_peak", "peak_bytes_in_use")):
        known = [stats[key] for device in devices if (stats := device.memory_stats()) and key in stats]
        if known:
            use[f"memory/{name}_gib"] = max(known) / _GIB
    return use
