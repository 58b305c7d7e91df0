"""A trace of a few updates, for TensorBoard's profiler or Perfetto."""

import logging
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
        try:
            if self._ticks == FIRST:
                jax.profiler.start_trace(str(self._folder))
            else:
                jax.profiler.stop_trace()
                _log.info("trace of %d updates: %s", LAST - FIRST, self._folder)
        except (OSError, RuntimeError) as error:  # a full disk is the latter
            _log.warning("no trace is written to %s (%s), and the run goes on", self._folder, one_line(error, 300))
            self._folder = None
