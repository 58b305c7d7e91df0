"""The folder of one run: what was asked for, with which versions, and that nobody else is writing there."""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from patchail_jax.errors import Unavailable, UserError
from patchail_jax.files.home import expanded
from patchail_jax.files.json_objects import parsed
from patchail_jax.files.trouble import DISK
from patchail_jax.files.whole_file import write_text
from patchail_jax.storage import run_names
from patchail_jax.storage.run_config import refuse_other_run
from patchail_jax.storage.versions import command, machine, versions

_log = logging.getLogger(__name__)

_LOCK_SECONDS = 0.5  # a program that looks whether a run is going on holds the lock for a moment


class RunFolder:
    """An open, locked run folder; ``close`` lets the next run in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics_jsonl = path / run_names.METRICS  # every scalar, a JSON object a line
        self.eval_csv = path / run_names.EVALUATIONS  # evaluations alone, for plots
        self.checkpoints = path / run_names.CHECKPOINTS  # Orbax checkpoints
        self.parameters = path / run_names.PARAMETERS  # the parameters alone, of now and then (``storage.parameters``)
        self.pictures = path / run_names.PICTURES  # drawn when the run ends
        self.profile = path / run_names.PROFILE  # a trace of a few updates
        self.histograms_jsonl = path / run_names.HISTOGRAMS  # logits and rewards at each evaluation, one a line
        self.videos = path / run_names.VIDEOS  # a film an evaluation, named by frames
        self.latest_episode = self.videos / run_names.LATEST_EPISODE  # the newest evaluation's episode, and its maps
        # A lock that filelock keeps as a file, where there are no real ones, would outlive a killed process.
        self._lock = FileLock(path / run_names.LOCK, timeout=_LOCK_SECONDS, thread_local=False, fallback_to_soft=False)
        try:
            self._acquire()
        except Timeout:
            raise UserError(f"another process is running in {path}; wait for it, or set config.run_folder") from None
        except OSError as error:
            if error.filename is not None:  # from making the folder, or opening the file
                raise _not_writable(path, error) from error
            raise UserError(
                f"{path} cannot be locked ({error.strerror}); set config.run_folder to a local disk"
            ) from error

    def _acquire(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock.acquire()
        self._locked = os.stat(self._lock.lock_file)

    def describe(self, config: dict[str, Any], *, renderer: str | None = None, resumed: bool = False) -> None:
        """Writes what the run resumes with: config, command, machine, versions; ``renderer`` draws the agent's frames.

        Warns where a ``resumed`` run's first frames were drawn by another renderer.
        """
        first = self._first_renderer() if resumed else None
        if first and renderer and first != renderer:
            _log.warning(
                "%s began with frames drawn by %s and resumes with %s: its replay mixes frames of both",
                self.path,
                first,
                renderer,
            )
        _write_json(self.path / run_names.CONFIG, config)
        drawn = {"renderer": renderer, "first_renderer": first or renderer}
        made = {"command": command(), "machine": machine()}
        _write_json(self.path / run_names.VERSIONS, {**versions(), **drawn, **made})

    def _first_renderer(self) -> str | None:
        """What drew the run's first frames; None where versions.json does not say."""
        try:
            found: str | None = parsed((self.path / run_names.VERSIONS).read_bytes()).get("first_renderer")
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            raise _not_readable(self.path / run_names.VERSIONS, error) from error
        return found

    def hold(self) -> bool:
        """Whether the folder still has what ``describe`` wrote: somebody may have removed it.

        Where the lock went with it, it is taken again. May raise ``OSError``, and ``UserError`` where another run has
        begun there.
        """
        there = self._lock_there()
        if there is None or not os.path.samestat(there, self._locked):
            self.refuse_another()
            self._lock.release()
            try:
                self._acquire()
            except Timeout:
                raise self._taken() from None
        return self._is_described()

    def refuse_another(self) -> None:
        """``UserError`` where somebody has removed the folder and another run has begun there: its files are its own.

        Of a start that was refused there is the lock alone, and nobody holds it.
        """
        there = self._lock_there()
        replaced = there is not None and not os.path.samestat(there, self._locked)
        if replaced and (self._is_described() or is_running(self.path)):
            raise self._taken()

    def _lock_there(self) -> os.stat_result | None:
        """The file that another run would lock, None where there is none."""
        try:
            return os.stat(self._lock.lock_file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # a disk's trouble is not another run
            return self._locked

    def _is_described(self) -> bool:
        return (self.path / run_names.CONFIG).exists()

    def _taken(self) -> UserError:
        return UserError(
            f"{self.path} was removed while this run went on, and another run has begun there: this one ends, and "
            "leaves that one's files alone. To train both, set config.run_folder"
        )

    def finish(self, num_frames: int) -> None:
        """Marks the run as finished, for launchers, at the most frames that it was ever finished at.

        ``Unavailable`` where that cannot be written.
        """
        self.refuse_another()
        mark = self.path / run_names.FINISHED
        try:
            _write_json(mark, {"num_frames": max(num_frames, finished_frames(self.path))})
        except OSError as error:
            raise Unavailable(
                f"the run is not marked as finished: {mark} cannot be written ({error.strerror}). "
                "Fix the disk, then start the same command again"
            ) from error

    def close(self) -> None:
        """Releases the lock."""
        self._lock.release()


def finished_frames(path: Path) -> int:
    """The frames that the run in ``path`` had to its end, 0 where no file says so: it has not ended, or not surely.

    ``Unavailable`` where the file is there and cannot be read.
    """
    try:
        return frames_said((path / run_names.FINISHED).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        raise _not_readable(path / run_names.FINISHED, error) from error


def frames_said(content: bytes) -> int:
    """The frames that the ``content`` of ``finished.json`` says, 0 where it is damaged."""
    try:
        return int(parsed(content)["num_frames"])
    except (ValueError, LookupError, TypeError, OverflowError):
        return 0


def open_run(path: Path, *, config: dict[str, Any]) -> RunFolder:
    """Makes or re-opens the folder, under an exclusive lock that dies with the process; ``config`` is not written.

    A folder that holds another run is refused: every field of ``config`` must equal the stored one, but for those
    of ``run_config.MAY_DIFFER`` and those that the run's version did not have, which are logged.
    ``describe`` the run when its parts have been made and its checkpoint fits: of a refused start nothing stays but the
    lock, and maybe a folder for checkpoints without any. Raises ``UserError``, one line.
    """
    folder = RunFolder(expanded(path).absolute())
    try:
        refuse_other_run(folder.path, config=config)
    except UserError:  # its traceback would keep the lock
        folder.close()
        raise
    return folder


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Nobody else works in the run folder ``path`` while entered; ``UserError``, one line, where somebody does."""
    folder = RunFolder(path)
    try:
        yield
    finally:
        folder.close()


def lock_beside(folder: Path) -> BaseFileLock:
    """The lock of ``folder``, a hidden file beside it: whoever enters it waits until nobody else has."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.with_name(f".{folder.name}.lock"))


def is_running(path: Path) -> bool:
    """Whether a process holds the lock of the run folder ``path``; False where there is no lock or no way to ask.

    Nothing is written, and the folder may be another user's.
    """
    try:
        with (path / run_names.LOCK).open("rb") as stream:
            # filelock has no shared lock: with its exclusive one two readers would take each other for a run, and NFS
            # would refuse it on a file that may only be read.
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or a file system without locks
        return False
    return False


def _not_readable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"{path} cannot be read ({error.strerror or error}): check the disk; nothing was changed")


def _not_writable(path: Path, error: OSError) -> UserError:
    kind, remedy = (Unavailable, f"{DISK[error.errno]}, or ") if error.errno in DISK else (UserError, "")
    return kind(f"the run folder {path} cannot be written ({error.strerror}); {remedy}set config.run_folder")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")
