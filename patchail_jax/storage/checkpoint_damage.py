"""Whether a checkpoint that cannot be read is damaged, or the machine is in trouble: only the first is its own fault.

A damaged checkpoint is set aside and the one before it is used. Trouble with the disk, the network or memory passes, so
it must cost no checkpoint: it ends the start with one line.
"""

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from patchail_jax.errors import Unavailable

Read = TypeVar("Read")

_CHUNK = 2**24  # bytes in memory at a time
# How TensorStore begins a message about contents that cannot be what was written. It raises ValueError for these, and
# also for the machine's errors, which begin with UNKNOWN, ABORTED, RESOURCE_EXHAUSTED or PERMISSION_DENIED. A message
# without a code ("Error decoding ...") is about an invalid argument: what the file holds.
_DAMAGE = ("DATA_LOSS:", "FAILED_PRECONDITION:", "OUT_OF_RANGE:", "NOT_FOUND:", "INVALID_ARGUMENT:", "Error ")
_MACHINE = "os_error_code="  # where TensorStore was given an error by the operating system
# The operating system's errors that a disk, or what it is mounted by, gives to a writer.
_OF_DISKS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT),
    *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE),
)
# These are about what a checkpoint holds.
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Damaged(Exception):
    """The contents are not those that were written; the message says how that shows."""


def read_or_prove_damage(read: Callable[[], Read], folder: Path) -> Read:
    """What ``read`` makes of the checkpoint in ``folder``.

    Raises ``Damaged`` where that is proven: ``read`` says so, then every file in ``folder`` can be read, and ``read``
    says so again. Raises ``Unavailable``, one line, for everything else.
    """
    try:
        return read()
    except Exception as error:
        if not _tells_of_damage(error, folder):
            raise unreadable(folder, error) from error
    try:
        # A file system in trouble also says that a file is not there, or Orbax takes its error for that.
        _read_every_file(folder)
        return read()
    except Exception as error:
        if not _tells_of_damage(error, folder):
            raise unreadable(folder, error) from error
        raise Damaged(reason(error)) from error


def unreadable(folder: Path, error: BaseException) -> Unavailable:
    """The line for a checkpoint that the machine does not give, with the machine's reason and what to do."""
    return Unavailable(
        f"{folder} cannot be read ({reason(error)}); nothing was changed. Try again; "
        "if that does not help, move it out of its folder and the checkpoint before it is used"
    )


def reason(error: BaseException) -> str:
    """The message of ``error`` on one line; of a long one, the end."""
    text = " ".join(re.split(r" \[(?:os_error_code|tensorstore_spec)=", str(error))[0].split())
    # TensorStore says last which file it was and what the operating system said.
    return f"...{text[-300:]}" if len(text) > 300 else text or type(error).__name__


def refused_by_disk(error: BaseException | None) -> str:
    """Why the disk did not take what was written, of ``error`` or what it was raised from; "" where it is another's."""
    while error is not None:
        for number in _OF_DISKS:
            if (isinstance(error, OSError) and error.errno == number) or os.strerror(number) in str(error):
                return os.strerror(number)
        error = error.__cause__ or error.__context__
    return ""


def _tells_of_damage(error: BaseException, folder: Path) -> bool:
    """Whether ``error`` is about the contents of ``folder``, and nothing it was raised from is the machine's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and not isinstance(cause, _MISSING)):
            return False
        if _MACHINE in str(cause):
            return False
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, _MISSING):
        return str(folder) in str(error)
    if isinstance(error, KeyError):  # Orbax: the folder of an item is missing
        return "was not found in the checkpoint" in str(error)
    if isinstance(error, Damaged | json.JSONDecodeError | UnicodeDecodeError):
        return True
    return isinstance(error, ValueError) and str(error).startswith(_DAMAGE)


def _read_every_file(folder: Path) -> None:
    def fail(error: OSError) -> None:
        raise error

    for path, _, files in os.walk(folder, onerror=fail):
        for name in files:
            with (Path(path) / name).open("rb") as stream:
                while stream.read(_CHUNK):
                    pass
