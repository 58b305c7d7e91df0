"""Where the wall time of a run goes."""

import time


class Stopwatch:
    """Where the wall time goes, in shares: each ``lap`` books the time since the last one.

    ``waiting`` is for the devices, which are busy then; ``learner`` draws and dispatches batches, ``acting`` dispatches
    the policy.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last = self._read = time.monotonic()

    def lap(self, part: str) -> None:
        """Books the time since the last lap for ``part``."""
        now = time.monotonic()
        self._seconds[part] = self._seconds.get(part, 0.0) + now - self._last
        self._last = now

    def read(self, updates: int) -> dict[str, float]:
        """The share of each part since the last reading, and ``updates`` per second over it."""
        now = time.monotonic()
        elapsed, self._read = max(now - self._read, 1e-9), now
        shares = {f"time/{part}": seconds / elapsed for part, seconds in self._seconds.items()}
        self._seconds = {}
        return {**shares, "time/updates_per_second": updates / elapsed}
