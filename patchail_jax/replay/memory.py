"""Whether the replay fits in this machine's memory, asked before it fills."""

from pathlib import Path

from patchail_jax.errors import UserError

_GIB = 1024**3
_CGROUP = Path("/sys/fs/cgroup")


def available() -> int:
    """Bytes that this process can still take: the machine's, or its control group's where that is less."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    for limit_file, usage_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit, usage = (int((_CGROUP / name).read_text()) for name in (limit_file, usage_file))
        except (OSError, ValueError):  # no such group, or the limit is "max"
            continue
        free = min(free, limit - usage)
    return free


def check_memory(needed: int) -> str:
    """A line for the log; ``UserError`` when ``needed`` bytes are more than there are."""
    free = available()
    if needed > free:
        raise UserError(
            f"the replay needs {needed / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB of memory are free; "
            "lower config.replay.capacity or config.env.image_size"
        )
    return f"replay: {needed / _GIB:.2f} GiB of {free / _GIB:.1f} GiB free memory"
