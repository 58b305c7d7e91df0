"""Files that appear under their name when they are whole."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` when the block ends well and goes away when not.

    Its suffix says no format: writers that choose by it must be told.
    """
    # Not tempfile: its files are readable by their owner only, and demonstrations and caches are often shared.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        with unfinished.open("rb+") as stream:
            os.fsync(stream.fileno())  # or a power cut after the rename leaves a file of zeros under the final name
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):  # a disk that takes nothing may refuse this too, though nothing is there
            unfinished.unlink(missing_ok=True)
