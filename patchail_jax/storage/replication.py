"""The thread that keeps a run's replica up to date. Training waits for it only at the end."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from patchail_jax.errors import Unavailable, UserError, one_line
from patchail_jax.storage.lease import BEAT_SECONDS, LeaseGone, LeaseLost
from patchail_jax.storage.remote import is_remote, local_folder, reachable, storage
from patchail_jax.storage.replica import Replica

_log = logging.getLogger(__name__)


def _nothing() -> None:
    """All that a local folder needs."""


@contextlib.contextmanager
def replicated(location: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """The local folder to run in, and what to call when something worth keeping has been written.

    Where ``location`` is local, it is that folder and has no replica. Else the replica is there; leaving waits for the
    last push to it. Raises ``UserError``, one line, where the storage cannot be used or another run writes there, and
    ``Unavailable`` where all ended well but for that push: a launcher that tries again makes it up. ``UserError`` where
    another process has taken the replica over meanwhile.
    """
    if not is_remote(location):
        yield local_folder(location), _nothing
        return
    with reachable(location):
        replica = Replica(storage(location), local_folder(location))
    thread = ReplicaThread(replica)
    try:
        yield replica.folder, thread.push_soon
    except BaseException:
        if not thread.close():
            _log.warning("%s", _lacking(replica))
        raise
    if not thread.close():
        if thread.lost:
            raise UserError(f"{_lacking(replica)}. Another process has taken it over: copy them elsewhere yourself")
        raise Unavailable(f"{_lacking(replica)}. Once it can be reached, the same command here copies them")


def _lacking(replica: Replica) -> str:
    return f"{replica.remote} lacks the newest files of this run; they are in {replica.folder}"


class ReplicaThread:
    """Pushes to the replica when asked to, once for calls that come faster than it works, and renews the lease.

    What fails is one warning and is tried again, about four times a minute, until it succeeds.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._asked, self._ending = threading.Event(), threading.Event()
        self._behind = self.lost = False  # ``lost``: another process has taken the replica over
        self._thread = threading.Thread(target=self._work, name="replica", daemon=True)
        self._thread.start()

    def push_soon(self) -> None:
        """Asks for a push, and does not wait for it."""
        self._asked.set()

    def close(self) -> bool:
        """Waits for the last push and lets the next run in; whether the replica has all of this one."""
        self._ending.set()
        self._asked.set()
        self._thread.join()
        self._attempt(self._replica.push)
        whole = not self._behind and not self.lost
        self._attempt(self._replica.lease.release)
        return whole

    def _work(self) -> None:
        while True:
            self._asked.wait(BEAT_SECONDS / 2)
            if self._ending.is_set():
                return
            asked = self._asked.is_set()  # what wait() returned may be older
            if asked:
                self._asked.clear()
            self._attempt(self._replica.push if asked or self._behind else self._replica.lease.renew)

    def _attempt(self, action: Callable[[], None]) -> None:
        if self.lost:
            return
        replica = self._replica
        try:
            try:
                action()
            except LeaseGone:
                replica.take_again()
        except LeaseLost as error:
            self.lost = True
            _log.warning("%s: copying has stopped, and the run continues in %s", error, replica.folder)
        except Exception as error:
            if not self._behind:
                reason = one_line(error, 200)
                _log.warning("%s cannot be reached (%s): the run goes on, and tries again", replica.remote, reason)
            self._behind = True
        else:
            if self._behind:
                _log.info("%s can be reached again", replica.remote)
            self._behind = False
