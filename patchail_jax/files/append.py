"""Files that grow by whole records."""

import contextlib
import os
from pathlib import Path


def append(path: Path, record: bytes) -> None:
    """Adds ``record`` to the file, whole or not at all. ``OSError`` where it cannot be written.

    A full disk may take the first half of a record; that half would spoil the next one.
    """
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as stream:
            stream.write(record)
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, before)
        raise
