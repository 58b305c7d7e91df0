"""A trace of a few updates, for TensorBoard's profiler or Perfetto."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from patchail_jax.errors import one_line

_log = logging.getLogger(__name__)

FIRST, LAST = 10, 18  # calls of the update since the start: the ones before compile and warm up


class Profiler:
    """Traces what happens between the ``FIRST`` and the ``LAST`` tick into ``folder``; None traces nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._ticks = folder, 0

    def tick(self, state: Any) -> None:
        """Counts a call of the update, which gave ``state``."""
        self._ticks += 1
        if self._folder is None or self._ticks not in (FIRST, LAST):
            return
        jax.block_until_ready(state)  # or the trace has work from before, or misses some
        if self._ticks == FIRST:
            self._try(lambda: jax.profiler.start_trace(str(self._folder)))
        else:
            self._end()

    def close(self) -> None:
        """Ends a trace that is still being made; a run that was too short for one says so."""
        if self._folder is not None and FIRST <= self._ticks < LAST:
            self._end()
        elif self._folder is not None and self._ticks < FIRST:
            _log.warning("no trace is written: it begins at the run's %dth call of the update", FIRST)

    def _end(self) -> None:
        if self._try(jax.profiler.stop_trace):
            _log.info("trace of the calls %d to %d of the update: %s", FIRST, self._ticks, self._folder)

    def _try(self, action: Callable[[], None]) -> bool:
        try:
            action()
            return True
        except (OSError, RuntimeError) as error:  # a full disk is the latter
            _log.warning("no trace is written to %s (%s), and the run goes on", self._folder, one_line(error, 300))
            self._folder = None
            return False
