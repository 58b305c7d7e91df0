"""Errors of a disk or of a file's name as one line, and whether they may pass."""

import errno
import os
from pathlib import Path

from patchail_jax.errors import Unavailable, UserError, one_line

# Errors of a disk, and what to do: nothing that the user gave is wrong.
DISK = {
    errno.ENOSPC: "free some space",
    **dict.fromkeys((errno.EIO, errno.EROFS, errno.EDQUOT, errno.ESTALE), "check the disk"),
    errno.EFBIG: "raise the limit of a file's size (ulimit -f), or name another disk",
}
# Errors of a file's name, and what to do.
NAME = {
    errno.EACCES: "check who may read and write there",
    errno.EPERM: "check who may read and write there",
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "check the name",
    errno.EISDIR: "name a file",
    errno.EEXIST: "a file, or a link that leads nowhere, is in its place: remove it, or give another name",
    errno.ELOOP: "links lead in a circle there: give another name",
    errno.ENAMETOOLONG: "give a shorter name",
}


def said_of(error: OSError) -> str:
    """One line on ``error`` and what to do; "" where it names no file and is no disk's: it is the program's own."""
    number, name = error.errno, error.filename
    if number in DISK:
        return f"{name or 'a file'}: {os.strerror(number)}: {DISK[number]}"
    return "" if name is None or number is None else f"{name}: {os.strerror(number)}: {NAME.get(number, 'check it')}"


def not_written(path: Path, error: OSError) -> UserError:
    """The ``error`` of writing ``path`` as one line that says what to do; ``Unavailable`` for a disk's."""
    number, name = error.errno, error.filename
    said = one_line(error) if number is None else os.strerror(number)
    above = f" at {name}" if isinstance(name, str) and Path(name) in path.parents else ""
    kind, remedy = (Unavailable, DISK[number]) if number in DISK else (UserError, NAME.get(number or 0, "check it"))
    return kind(f"{path} cannot be written ({said}{above}): {remedy}")
