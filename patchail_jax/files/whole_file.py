"""Files that appear under their name when they are whole."""

import contextlib
import errno
import glob
import os
import platform
import zlib
from collections.abc import Iterator
from pathlib import Path

from patchail_jax.files.processes import counted_in, runs


@contextlib.contextmanager
def whole_file(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` when the block ends well and goes away when not.

    Its suffix says no format: writers that choose by it must be told. Without ``replace`` ``FileExistsError`` where
    something has appeared at ``path``. What a process left that was killed on this machine while it wrote the same file
    goes away too.
    """
    # Not tempfile: its files are readable by their owner only, and demonstrations and caches are often shared.
    unfinished = _beside(path, str(os.getpid()))
    _remove_remains(path)
    try:
        yield unfinished
        with unfinished.open("rb+") as stream:
            os.fsync(stream.fileno())  # or a power cut after the rename leaves a file of zeros under the final name
        (os.replace if replace else _appear)(unfinished, path)
    except OSError as error:
        if error.strerror and error.filename in (None, str(unfinished)):  # one of a write names no file
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # a disk that takes nothing may refuse this too, though nothing is there
            unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Makes ``text`` the file's content, whole or not at all; signs that UTF-8 has no bytes for become ``?``."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="replace")


def _beside(path: Path, process: str) -> Path:
    """Where the process of that number writes ``path``."""
    place = zlib.crc32(f"{platform.node()} {counted_in()}".encode())
    return path.with_name(f".{path.name}.{place:08x}.{process}.unfinished")


def _remove_remains(path: Path) -> None:
    with contextlib.suppress(OSError):
        pattern = str(_beside(Path(glob.escape(path.name)), "*"))
        for remains in path.parent.glob(pattern):
            number = remains.name.split(".")[-2]
            if number.isdecimal() and not runs(int(number)):
                remains.unlink(missing_ok=True)


def _appear(unfinished: Path, path: Path) -> None:
    """Renames the file where nothing is at ``path``: in one step where the file system has hard links."""
    try:
        os.link(unfinished, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(unfinished, path)
