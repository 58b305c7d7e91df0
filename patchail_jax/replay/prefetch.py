"""Draws the next batch in a thread while the devices learn from the last."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Prefetch:
    """Calls ``draw(update)`` one call ahead of ``take``.

    Drawing reads replay, so whoever changes replay calls ``drop`` first: a batch never comes from an older replay than
    its update's, and what is taken does not depend on what was fetched ahead.
    """

    def __init__(self, draw: Callable[[int], Any], *, updates_per_call: int) -> None:
        self._draw, self._step = draw, updates_per_call
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._ahead: tuple[int, Future[Any]] | None = None

    def take(self, update: int) -> Any:
        """The batch of ``update``."""
        ahead, self._ahead = self._ahead, None
        batch = ahead[1].result() if ahead is not None and ahead[0] == update else self._draw(update)
        following = update + self._step
        self._ahead = following, self._thread.submit(self._draw, following)
        return batch

    def drop(self) -> None:
        """Forgets what was fetched ahead, after waiting for it."""
        if self._ahead is not None:
            self._ahead[1].exception()
            self._ahead = None

    def close(self) -> None:
        """Ends the thread."""
        self.drop()
        self._thread.shutdown()
