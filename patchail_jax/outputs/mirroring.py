"""The thread that keeps a remote run folder up to date beside the training, which never waits for it but at the end."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from patchail_jax.outputs.lease import BEAT_SECONDS, LeaseLost
from patchail_jax.outputs.mirror import Mirror
from patchail_jax.outputs.remote import is_remote, local_folder, reachable, storage

_log = logging.getLogger(__name__)


def _nothing() -> None:
    """All that a local folder needs."""


@contextlib.contextmanager
def mirrored(location: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The local folder to run in, and what to call when something worth keeping has been written.

    ``location`` itself where it is local; then there is nothing to do. Leaving waits for the last push. Raises
    ``UserError``, one line, where the storage cannot be used or another run writes there.
    """
    if not is_remote(location):
        yield Path(location), _nothing
        return
    with reachable(location):
        mirror = Mirror(storage(location), local_folder(location))
    thread = MirrorThread(mirror)
    try:
        yield mirror.folder, thread.push_soon
    finally:
        thread.close()


class MirrorThread:
    """Pushes when asked to, several calls at once if they come faster than it works, and renews the lease.

    What fails is one warning and is tried again, about four times a minute, until it succeeds.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._asked, self._ending = threading.Event(), threading.Event()
        self._behind = self._lost = False
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self._thread.start()

    def push_soon(self) -> None:
        """Asks for a push, and does not wait for it."""
        self._asked.set()

    def close(self) -> None:
        """The last push, waited for; the next run is let in."""
        self._ending.set()
        self._asked.set()
        self._thread.join()
        self._attempt(self._mirror.push)
        if self._behind or self._lost:
            _log.warning("%s lacks the last of this run, which is in %s", self._mirror.remote, self._mirror.folder)
        self._attempt(self._mirror.lease.release)

    def _work(self) -> None:
        while True:
            self._asked.wait(BEAT_SECONDS / 2)
            if self._ending.is_set():
                return
            asked = self._asked.is_set()  # what wait() returned may be older
            if asked:
                self._asked.clear()
            self._attempt(self._mirror.push if asked or self._behind else self._mirror.lease.renew)

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._lost:
            return
        mirror = self._mirror
        try:
            action()
        except LeaseLost as error:
            self._lost = True
            _log.warning("%s: nothing more is copied there, and this run goes on in %s", error, mirror.folder)
        except Exception as error:
            if not self._behind:
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                _log.warning("%s cannot be reached (%s): the run goes on, and tries again", mirror.remote, reason)
            self._behind = True
        else:
            if self._behind:
                _log.info("%s can be reached again", mirror.remote)
            self._behind = False
