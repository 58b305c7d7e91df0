"""Several processes, one a machine as a rule, that train one run together: who they are, and what they agree on.

Each process plays its own environments, keeps its own replay and checkpoints, and gives its share of every batch; the
update averages gradients over the devices of all. So all must make the same updates in the same order: whatever decides
about an update, a stop or a restart is a counter that all share, or is agreed on here.
"""

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax._src.distributed import global_state
from jax.experimental import multihost_utils

from patchail_jax.devices.clusters import cluster
from patchail_jax.errors import ProcessLost, UserError, one_line

_log = logging.getLogger(__name__)

# JAX aborts the others when process 0 ends: it waits until they have closed their files. Less than the least that
# config.hosts.lost_seconds may be, when JAX aborts them anyhow.
LINGER_SECONDS = 5.0
_ADDRESS = re.compile(r".+:\d{1,5}")  # of the coordinator
_LAST_PORT = 65_535
_ALONE = "alone"
_NO_ADDRESS = ("", "auto", _ALONE)  # coordinators whose address JAX finds out, or nobody needs
_STATUS = re.compile("(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION): ")


class Hosts(NamedTuple):
    """This process's number and how many there are. With one process nothing here does anything."""

    process: int = 0
    processes: int = 1

    def gather(self, numbers: int | np.ndarray) -> np.ndarray:
        """Every process's ``numbers``, ``[processes, ...] int32``; all have as many."""
        own = np.asarray(numbers, np.int32)
        return own[None] if self.processes == 1 else np.asarray(multihost_utils.process_allgather(own))

    def smallest(self, number: int) -> int:
        """The smallest ``number`` of all processes."""
        return int(self.gather(number).min())

    def largest(self, number: int) -> int:
        """The largest ``number`` of all processes."""
        return int(self.gather(number).max())

    @contextlib.contextmanager
    def refused_together(self) -> Iterator[None]:
        """A ``UserError`` of one process is one of all: the others would wait for it in vain."""
        refusal = None
        try:
            yield
        except UserError as error:
            refusal = error
        if not self.smallest(int(refusal is None)):
            raise refusal or UserError("another process of this run was refused: see its message, and start all again")

    def first(self, tree: Any) -> Any:
        """The first process's arrays, for all: platforms may disagree in a last bit."""
        return tree if self.processes == 1 else multihost_utils.broadcast_one_to_all(tree)


@contextlib.contextmanager
def losses_in_one_line(hosts: Hosts) -> Iterator[None]:
    """A computation that fails because another process is gone is ``ProcessLost``; alone, an error is one's own."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        # A jitted call that starts on a broken connection raises a ValueError, which opens with the runtime's status.
        if hosts.processes == 1 or (isinstance(error, ValueError) and not _STATUS.match(reason)):
            raise
        if hosts.process == 0 and hosts.processes > 2:
            time.sleep(LINGER_SECONDS)
        raise ProcessLost(
            f"process {hosts.process} cannot go on ({reason}); if another process was lost, start the same "
            "command on all again: they resume from the last checkpoint"
        ) from error


def have_ended_together() -> bool:
    """Whether all processes have come to their ends, well or not; the others are waited for, a little.

    For one that goes on, JAX would hold this process up for minutes and abort all after that.
    """
    if global_state.client is None:
        return True
    ended = threading.Event()

    def end() -> None:
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            jax.distributed.shutdown()  # waits for all, as each does when it ends
            ended.set()

    threading.Thread(target=end, daemon=True).start()
    return ended.wait(LINGER_SECONDS)


def refuse_address(*, coordinator: str, count: int, index: int) -> None:
    """``UserError`` where these fields of ``config.hosts`` do not say who meets where."""
    if coordinator in _NO_ADDRESS:
        if count or index >= 0:
            raise UserError("config.hosts.count and index need config.hosts.coordinator=ADDRESS:PORT")
    elif not _ADDRESS.fullmatch(coordinator) or not 1 <= int(coordinator.rpartition(":")[2]) <= _LAST_PORT:
        raise UserError(
            f"config.hosts.coordinator is {coordinator!r}; it must be ADDRESS:PORT, with a port from 1 to "
            f"{_LAST_PORT}, or auto, alone or empty"
        )
    elif count < 1:
        raise UserError("config.hosts.coordinator needs config.hosts.count, the number of processes, and index")
    elif not 0 <= index < count:
        raise UserError(f"config.hosts.index is {index}; with count {count} it must be 0..{count - 1}")


def look() -> Hosts:
    """The processes as JAX sees them; ``UserError`` where it does not start on what JAX_PLATFORMS asks for."""
    try:
        return Hosts(jax.process_index(), jax.process_count())
    except (RuntimeError, AssertionError) as error:  # the second where its package is not installed
        platforms, reason = os.environ.get("JAX_PLATFORMS", ""), " ".join(str(error).split()) or "no such device"
        raise UserError(
            f"JAX cannot start on this machine (JAX_PLATFORMS={platforms}): {reason}; unset JAX_PLATFORMS, or install "
            "what it names: EXTRAS=cuda12 (cuda13, tpu) launch/setup.sh"
        ) from error


def join(*, coordinator: str, count: int, index: int, lost_seconds: int) -> Hosts:
    """Meets the other processes, before anything else touches a device. The arguments are ``config.hosts``.

    ``coordinator`` "" asks JAX's clusters whether there are others, "auto" takes it that there are, "alone" that there
    are none, and "address:port" needs ``count`` and ``index``. A process that is not heard of for ``lost_seconds`` ends
    all others. ``UserError`` where they do not meet, and where JAX's devices are those of more or fewer processes.
    """
    refuse_address(coordinator=coordinator, count=count, index=index)
    found = cluster() if coordinator == "" else None
    several = coordinator not in ("", _ALONE) or (found is not None and found.processes > 1)
    start: Callable[..., None] = jax.distributed.initialize
    arguments: dict[str, Any] = {}
    if coordinator not in _NO_ADDRESS:
        arguments = {"coordinator_address": coordinator, "num_processes": count, "process_id": index}
    try:
        if several:
            start(**arguments, heartbeat_timeout_seconds=lost_seconds, initialization_timeout=300)
    except (RuntimeError, ValueError) as error:
        reason = one_line(error)
        # Time that is over is nothing that the user gave: another try may find the others.
        kind = ProcessLost if isinstance(error, RuntimeError) else UserError
        raise kind(f"the processes of this run cannot reach each other ({reason}); see config.hosts") from error
    hosts = look()
    if hosts.processes != global_state.num_processes:
        raise UserError(
            f"JAX's devices belong to {hosts.processes} processes, and {global_state.num_processes} have met here; "
            "start the same command on every host of the slice, or see config.hosts"
        )
    if several:
        _log.info("process %d of %d (%s)", hosts.process, hosts.processes, found.name if found else coordinator)
    return hosts
