"""Checks that all processes of a run have the same config and renderer: nothing else would notice."""

import logging
import zlib
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.devices.hosts import Hosts
from patchail_jax.errors import UserError
from patchail_jax.storage.run_config import flatten

_log = logging.getLogger(__name__)


def require_same_config(config: ConfigDict, hosts: Hosts) -> None:
    """``UserError`` on every process where any has another value of a field than the first has, ``hosts`` aside.

    Call it right after joining: nothing has been opened, drawn or compiled.
    """
    if hosts.processes == 1:
        return
    fields = flatten({name: group for name, group in config.to_dict().items() if name != "hosts"})
    names = sorted(fields)
    of_names = hosts.gather(_check(names))
    if (of_names != of_names[0]).any():
        raise UserError("the processes of this run have different versions of this program: install the same on all")
    values = hosts.gather(np.asarray([_check(fields[name]) for name in names]))  # [processes, fields]
    unequal = np.flatnonzero((values != values[0]).any(axis=0))
    if len(unequal):
        own = ", ".join(f"config.{names[number]}={fields[names[number]]!r}" for number in unequal[:4])
        more = f" and {len(unequal) - 4} more" if len(unequal) > 4 else ""
        raise UserError(
            f"the processes of this run have different configs; process {hosts.process} has {own}{more}: "
            "start the same command on all"
        )


def require_same_renderer(renderer: str | None, hosts: Hosts, *, may_differ: bool) -> None:
    """``UserError`` on every process where any draws by another renderer than the first; a warning where it may."""
    drawn = hosts.gather(_check(renderer))
    if (drawn == drawn[0]).all():
        return
    own = f"the processes of this run draw by different renderers, process {hosts.process} by {renderer}"
    if not may_differ:
        raise UserError(f"{own}: start all on machines of one kind, or set config.demos.other_renderer=True")
    _log.warning("%s: a discriminator may learn that difference", own)


def _check(value: Any) -> int:
    """A checksum of what a value looks like, 31 bits, as processes gather it."""
    return zlib.crc32(repr(value).encode()) & 0x7FFFFFFF
