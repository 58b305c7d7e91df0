"""Outputs that a person only looks at may fail, and the run goes on: one warning for each kind of output.

Films, histograms, the last pictures and the dashboards are such outputs. Checkpoints are not: a run needs them.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from patchail_jax.errors import one_line

_log = logging.getLogger(__name__)

LONGEST = 300  # characters of an error: libraries may write pages


class OptionalOutputs:
    """Remembers, for one run, which kinds of output have failed. Threads may share it."""

    def __init__(self) -> None:
        self._failed: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def looked_at(self, kind: str) -> Iterator[None]:
        """Turns an error of the block into a warning, the first time that this ``kind`` of output fails.

        Every ``Exception`` counts, because ffmpeg, W&B and Pillow raise what they like. ``KeyboardInterrupt`` passes.
        """
        try:
            yield
        except Exception as error:
            with self._lock:
                first = kind not in self._failed
                self._failed.add(kind)
            if first:
                _log.warning(
                    "%s failed (%s); the run goes on, and later failures are not shown", kind, one_line(error, LONGEST)
                )
