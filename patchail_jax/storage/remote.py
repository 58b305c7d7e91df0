"""Replicas of runs on object storage (gs://, s3://, az://): their addresses, and copies of them for reading."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from patchail_jax.errors import Unavailable, UserError
from patchail_jax.files.home import expanded
from patchail_jax.storage import run_folder, run_names
from patchail_jax.storage.cache import default_cache_dir
from patchail_jax.storage.lease import LEASE, WATCH_SECONDS, is_held
from patchail_jax.storage.remote_files import MANIFEST, download, read_manifest, receive, step_of

if TYPE_CHECKING:
    from etils import epath

# The library that reads each scheme, and the extra that installs it.
READERS = {"gs": ("gcsfs", "gcs"), "s3": ("s3fs", "s3"), "az": ("adlfs", "az")}
_STATUSES_THAT_PASS = (408, 429, *range(500, 600))
_TRIES = 3  # to read a run that goes on: what was listed may be gone


def is_remote(location: str) -> bool:
    """Whether ``location`` is an address (``scheme://``), not a local path."""
    return "://" in location


def local_folder(location: str, purpose: str = "runs") -> Path:
    """``location`` as a path where it is local, else its place in the cache folder: ``runs/gs/bucket/...``."""
    if not is_remote(location):
        return expanded(location)
    scheme, path = location.split("://", 1)
    parts = PurePosixPath(path.strip("/")).parts
    if ".." in parts or not parts:
        raise UserError(f"{location} does not name a folder in a bucket")
    return default_cache_dir().absolute() / purpose / scheme / Path(*parts)


def storage(location: str) -> "epath.Path":
    """The address as a path of ``etils.epath``; ``UserError`` for a scheme that nobody can open."""
    scheme = location.split("://", 1)[0]
    if scheme not in READERS:
        known = ", ".join(f"{name}://" for name in READERS)
        raise UserError(f"{location} cannot be opened: use {known} or a local folder")
    from etils import epath

    logging.getLogger(READERS[scheme][0]).setLevel(logging.CRITICAL)  # it logs tracebacks of what it raises as well
    return epath.Path(location.rstrip("/"))


@contextlib.contextmanager
def reachable(location: str) -> Iterator[None]:
    """What storage raises while entered, as one ``UserError`` that says what to do; ``Unavailable`` if it may pass."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        _, extra = READERS[location.split("://", 1)[0]]
        raise UserError(f"{location} cannot be opened without a library: pip install '.[{extra}]'") from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        if _may_pass(error):
            raise Unavailable(f"{location} cannot be reached ({reason}): try again") from error
        remedy = "log in (gcloud auth application-default login)" if location.startswith("gs://") else "log in"
        raise UserError(f"{location} cannot be used ({reason}): check the bucket's name, or {remedy}") from error


def _may_pass(error: BaseException | None) -> bool:
    """Whether ``error``, or what it came from, is of the network or the server, and not of the name or the rights."""
    while error is not None:
        status = getattr(error, "code", None) or getattr(error, "status", None)  # HTTP's, of gcsfs and aiohttp
        if isinstance(status, int):
            return status in _STATUSES_THAT_PASS
        if isinstance(error, OSError):  # also of requests and aiohttp, and every time-out
            return not isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError)
        error = error.__cause__ or error.__context__
    return False


def _for_reports(name: str) -> bool:
    return step_of(name) is None


def _for_policies(name: str) -> bool:
    """A checkpoint's replay, by far the largest part, is for going on alone."""
    return step_of(name) is None or "/arrays/" not in name


def check(location: str) -> None:
    """``UserError``, one line, unless the storage of ``location`` can be read."""
    with reachable(location):
        read_manifest(storage(location))


def reading_copy(location: str, *, checkpoints: bool = True) -> Path:
    """A run folder to read: ``location`` itself where it is local, else a copy in the cache folder, brought up to date.

    The copy has all but replay, and with ``checkpoints`` false no checkpoint. It is not the one that a run on this
    machine works in. Of several programs that read one address, one at a time brings the copy up to date. Raises
    ``UserError``, one line, where there is no run.
    """
    if not is_remote(location):
        return local_folder(location)
    remote, folder = storage(location), local_folder(location, "read")
    with run_folder.lock_beside(folder), reachable(location):
        for _ in range(_TRIES):
            manifest = read_manifest(remote)
            if manifest is None:
                raise UserError(f"no run in {location}: it has no {MANIFEST}")
            if download(remote, manifest, folder, wanted=_for_policies if checkpoints else _for_reports):
                break
        try:
            receive(remote / LEASE, folder / LEASE)
        except FileNotFoundError:  # nobody writes there
            (folder / LEASE).unlink(missing_ok=True)
    return folder


def runs_in(location: str) -> list[str]:
    """The remote run folders in ``location``, itself or below it; nothing below a run folder is one."""

    def search(folder: "epath.Path") -> Iterator[str]:
        if (folder / MANIFEST).exists():
            yield str(folder)
        elif folder.is_dir():
            for child in sorted(folder.iterdir()):
                yield from search(child)

    with reachable(location):
        return list(search(storage(location)))


def finished_frames(location: str) -> int:
    """``run_folder.finished_frames`` of a folder that may be remote."""
    if not is_remote(location):
        return run_folder.finished_frames(local_folder(location))
    remote = storage(location)
    with reachable(location):
        manifest = read_manifest(remote)
        if manifest is None or run_names.FINISHED not in manifest.files:
            return 0
        with (remote / run_names.FINISHED).open("rb") as stream:
            return run_folder.frames_said(stream.read())


def is_going_on(location: str) -> bool:
    """Whether a process works in a run folder that may be remote: it holds its lock, or has renewed its lease lately.

    A process that was killed counts for three minutes more, as clocks of two machines may differ.
    """
    if not is_remote(location):
        return run_folder.is_running(local_folder(location))
    with reachable(location):
        return is_held(storage(location), seconds=2 * WATCH_SECONDS)
