"""The files of a run's replica: which of them are whole, and how they travel.

A replica holds a run's files under the names they have in a local folder, and ``mirror.json``, which says which of them
belong together: an object appears whole or not at all, so what this one names is a run that can go on.
``storage.replica`` alone writes there.
"""

import logging
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from patchail_jax.errors import UserError
from patchail_jax.files.json_objects import parsed
from patchail_jax.storage import run_names

if TYPE_CHECKING:
    from etils import epath

_log = logging.getLogger(__name__)

MANIFEST = "mirror.json"  # named when replicas were called mirrors; replicas that exist have it
FETCHING = "fetching"  # where a checkpoint waits until it is whole
# The file with the name of the run that a local folder is of. It was named when replicas were called mirrors, too.
MARK = "mirrored_run"
_OWN = (run_names.LOCK, MARK)  # files that are nobody else's business
CHUNK = 64 * 2**20  # bytes in memory at a time; a smaller file is one write, so it is there whole or not at all

Digest = tuple[int, int]  # bytes, CRC-32


class Manifest(NamedTuple):
    """What is whole in a replica: the name of its run, and its files."""

    run: str
    files: dict[str, Digest]

    @property
    def steps(self) -> set[int]:
        """The checkpoints that are whole."""
        return {step for step in map(step_of, self.files) if step is not None}


def step_of(name: str) -> int | None:
    """The checkpoint that the file ``name`` belongs to."""
    parts = name.split("/")
    return int(parts[1]) if len(parts) > 2 and parts[0] == run_names.CHECKPOINTS and parts[1].isdecimal() else None


def read_manifest(remote: "epath.Path") -> Manifest | None:
    """What is whole in ``remote``, None where there is no run."""
    try:
        with (remote / MANIFEST).open("rb") as stream:
            stored = parsed(stream.read())
        found = Manifest(stored["run"], {name: (size, check) for name, (size, check) in stored["files"].items()})
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{remote / MANIFEST} is damaged: put a copy back, or use another folder") from error
    for name in found.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise UserError(f"{remote / MANIFEST} names {name!r}, which is outside of the run folder")
    return found


def digest(path: Path) -> Digest:
    """Size and checksum of a local file."""
    size, check = 0, 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            size, check = size + len(chunk), zlib.crc32(chunk, check)
    return size, check


def send(source: Path, target: "epath.Path", *, between: Callable[[], None]) -> Digest:
    """Copies a local file out, calling ``between`` after each chunk; what was sent."""
    size, check = 0, 0
    with source.open("rb") as stream, target.open("wb") as out:
        while chunk := stream.read(CHUNK):
            out.write(chunk)
            size, check = size + len(chunk), zlib.crc32(chunk, check)
            between()
    return size, check


def receive(source: "epath.Path", target: Path) -> Digest:
    """Copies a remote file in, to be there when it is whole; what was received."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f"{target.name}.unfinished")
    with source.open("rb") as stream, unfinished.open("wb") as out:
        while chunk := stream.read(CHUNK):
            out.write(chunk)
    received = digest(unfinished)
    os.replace(unfinished, target)
    return received


def download(
    remote: "epath.Path", manifest: Manifest, folder: Path, *, wanted: Callable[[str], bool] = lambda name: True
) -> bool:
    """Makes ``folder`` hold what ``manifest`` names and ``wanted`` takes; only what is missing or other travels.

    A checkpoint appears in ``folder`` when it is whole; one whose contents are not those that were sent is passed over
    with a warning, as is a file that is gone. Local checkpoints that are not in ``manifest`` are removed, unless none
    in ``manifest`` is whole. Returns whether everything was there.
    """
    names = sorted(filter(wanted, manifest.files))
    complete = True
    for name in names:
        if step_of(name) is None and not same(folder / name, manifest.files[name]):
            try:
                receive(remote / name, folder / name)
            except FileNotFoundError:
                _log.warning("%s is gone: going on without it", remote / name)
                complete = False
    whole = set()
    for step in sorted(manifest.steps, reverse=True):
        own = {name: manifest.files[name] for name in names if step_of(name) == step}
        if all(same(folder / name, own[name]) for name in own) or _download_checkpoint(remote, own, folder, step):
            whole.add(step)
        else:
            _log.warning("checkpoint %d in %s is incomplete: it is skipped", step, remote)
            complete = False
    if whole or not manifest.steps:
        for step in local_steps(folder) - whole:
            shutil.rmtree(folder / run_names.CHECKPOINTS / str(step))
    return complete


def local_steps(folder: Path) -> set[int]:
    """The checkpoints in a local run folder."""
    checkpoints = folder / run_names.CHECKPOINTS
    found = checkpoints.iterdir() if checkpoints.is_dir() else ()
    return {int(path.name) for path in found if path.name.isdecimal() and path.is_dir()}


def local_logs(folder: Path) -> set[str]:
    """Every file of a local run folder that is not a checkpoint's, nor another process's of the same run."""
    found = set()
    for path, folders, files in os.walk(folder):
        inside = Path(path).relative_to(folder)
        if inside == Path():
            folders[:] = [name for name in folders if not _is_apart(name)]
            files = [name for name in files if name not in _OWN]
        found |= {
            (inside / name).as_posix()
            for name in files
            if not name.endswith(".unfinished") and not (folder / inside / name).is_symlink()
        }
    return found


def same(path: Path, expected: Digest) -> bool:
    """Whether a local file is the one that was sent or received."""
    return path.is_file() and path.stat().st_size == expected[0] and digest(path) == expected


def _is_apart(name: str) -> bool:
    """Folders in a run folder that do not travel as logs do, or not at all."""
    aside = ("process_", run_names.DAMAGED, run_names.UNSHARED)
    return name in (run_names.CHECKPOINTS, FETCHING) or name.startswith(aside)


def _download_checkpoint(remote: "epath.Path", files: dict[str, Digest], folder: Path, step: int) -> bool:
    aside, target = folder / FETCHING, folder / run_names.CHECKPOINTS / str(step)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        whole = all(receive(remote / name, aside / name) == expected for name, expected in files.items())
    except FileNotFoundError:
        whole = False
    if whole:
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(exist_ok=True)
        (aside / run_names.CHECKPOINTS / str(step)).rename(target)
    shutil.rmtree(aside, ignore_errors=True)
    return whole
