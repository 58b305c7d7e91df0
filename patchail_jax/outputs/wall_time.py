"""Where the wall time of a run goes."""

import contextlib
import time
from collections.abc import Iterator


class WallTime:
    """Seconds spent in named parts of the loop since the last ``close``; what is in none of them is ``other``."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._parts: dict[str, float] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts the time of the ``with`` block as ``name``; blocks do not nest."""
        before = time.monotonic()
        try:
            yield
        finally:
            self._parts[name] = self._parts.get(name, 0.0) + time.monotonic() - before

    def close(self) -> dict[str, float]:
        """``time/<part>_share`` of each part, 1 together with ``time/other_share``; starts anew."""
        whole = max(time.monotonic() - self._started, 1e-9)
        shares = {f"time/{name}_share": seconds / whole for name, seconds in self._parts.items()}
        shares["time/other_share"] = max(1.0 - sum(shares.values()), 0.0)
        self._started, self._parts = time.monotonic(), {}
        return shares
