"""Ensures that only one run writes to a remote folder. Storage has no locks, so the run renews an object there."""

import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from patchail_jax.errors import UserError
from patchail_jax.files.json_objects import parsed
from patchail_jax.files.processes import counted_in, runs

if TYPE_CHECKING:
    from etils import epath

_log = logging.getLogger(__name__)

LEASE = "lease.json"
BEAT_SECONDS = 30.0  # between two renewals
WATCH_SECONDS = 90.0  # without a renewal: its holder is gone
OLD_SECONDS = 900.0  # so old that nobody needs to watch, even where two clocks differ by minutes
_POLL_SECONDS = 5.0


class LeaseLost(Exception):
    """Another process has taken the folder over."""


class LeaseGone(LeaseLost):
    """Nobody holds the folder: another process has taken it over and ended, or somebody has removed the lease."""


class Lease:
    """``lease.json`` in a remote run folder, with the host, process and time of its last renewal.

    Whoever finds one watches it for 90 seconds: renewed meanwhile, its holder lives and ``UserError`` refuses, one
    line; else it is taken over, at once where it is 15 minutes old or its process was this host's and is no more.
    What it cannot promise: storage has no compare-and-swap here, so two runs that begin within the same second may
    both go on, until the one that wrote first finds at its next renewal that the lease is not its own; and a holder
    that was cut off for longer finds out only then. Files that both wrote in that time may be mixed.
    """

    def __init__(self, remote: "epath.Path", *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._remote, self._path = remote, remote / LEASE
        self._owner, self._due = secrets.token_hex(8), 0.0
        held = _read(self._path)
        if held is not None and _may_live(held):
            self._watch(held, sleep)
        self.take()
        held = _read(self._path)
        if held is None or held["owner"] != self._owner:
            raise _refusal(remote, held)

    def renew(self) -> None:
        """Says that this process lives, if it is time to; ``LeaseLost`` where the lease is not its own."""
        if time.monotonic() < self._due:
            return
        held = _read(self._path)
        if held is None:
            raise LeaseGone(f"{self._path} is gone")
        if held["owner"] != self._owner:
            raise LeaseLost(f"{self._remote} is now written by process {held['pid']} on {held['host']}")
        self.take()

    def release(self) -> None:
        """Lets the next run in."""
        held = _read(self._path)
        if held is not None and held["owner"] == self._owner:
            self._path.unlink(missing_ok=True)

    def _watch(self, held: dict[str, Any], sleep: Callable[[float], None]) -> None:
        who = f"process {held['pid']} on {held['host']}"
        _log.info("%s was running in %s; waiting %.0f s to see whether it still is", who, self._remote, WATCH_SECONDS)
        for _ in range(int(WATCH_SECONDS / _POLL_SECONDS)):
            sleep(_POLL_SECONDS)
            now = _read(self._path)
            if now is None:
                return
            if now != held:
                raise _refusal(self._remote, now)

    def take(self) -> None:
        """Makes the lease this process's, whoever holds it."""
        content = {
            "owner": self._owner,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "counted_in": counted_in(),
            "time": time.time(),
        }
        with self._path.open("wb") as stream:
            stream.write(json.dumps(content).encode())
        self._due = time.monotonic() + BEAT_SECONDS


def is_held(remote: "epath.Path", *, seconds: float = OLD_SECONDS) -> bool:
    """Whether a process seems to be writing to ``remote``: it has renewed its lease in the last ``seconds``."""
    held = _read(remote / LEASE)
    return held is not None and abs(time.time() - held["time"]) < seconds


def _read(path: "epath.Path") -> dict[str, Any] | None:
    """What a lease says; None where there is none, and ``UserError`` where it says nothing."""
    try:
        with path.open("rb") as stream:
            held = parsed(stream.read())
        _ = held["owner"], held["host"], int(held["pid"]), float(held["time"])
        return held
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise UserError(f"{path} is damaged: remove it, once no run is writing to its folder") from error


def _may_live(held: dict[str, Any]) -> bool:
    if abs(time.time() - held["time"]) > OLD_SECONDS:
        return False
    if held["host"] != socket.gethostname():
        return True
    if held.get("counted_in") != counted_in():  # two containers of one host may both have a process 1
        return True
    return bool(held["pid"] != os.getpid() and runs(held["pid"]))


def _refusal(remote: "epath.Path", held: dict[str, Any] | None) -> UserError:
    who = f"process {held['pid']} on {held['host']}" if held else "another process"
    return UserError(f"{who} is running in {remote}; wait for it, or set config.run_folder")
