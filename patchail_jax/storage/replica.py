"""A run's replica in a bucket and the local folder that it works in: which one counts, and what is sent when."""

import contextlib
import json
import logging
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from patchail_jax.errors import UserError
from patchail_jax.storage import run_names
from patchail_jax.storage.lease import Lease, LeaseLost
from patchail_jax.storage.remote_files import (
    MANIFEST,
    MARK,
    Digest,
    Manifest,
    download,
    local_logs,
    local_steps,
    read_manifest,
    same,
    send,
    step_of,
)
from patchail_jax.storage.run_folder import finished_frames, frames_said, locked

if TYPE_CHECKING:
    from etils import epath

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int]  # of a local file: bytes, time, inode


class Replica:
    """A run's replica, in ``remote``, and the local ``folder`` that the run works in.

    Which one counts at the start: the folder, if it is of the same run (both carry the name that the run drew when it
    began) and has a newer checkpoint, because a crash came before the push; else the replica, which is copied to the
    folder. A folder of another run is moved aside, to ``<folder>.replaced``. Raises ``UserError`` where the replica has
    checkpoints, none of them is whole, and there is none in the folder either; and where a process works in the folder.

    Whatever moment a push is cut at, ``mirror.json`` names whole checkpoints alone, and the logs beside them are as new
    as the newest or newer, as a kill leaves them in a local folder; resuming rewinds them.
    """

    def __init__(self, remote: "epath.Path", folder: Path) -> None:
        self.remote, self.folder = remote, folder
        self._sent: dict[str, tuple[_Stamp, Digest]] = {}  # the local files that were there last, and what they were
        self._tidy = False  # whether nothing is there that has no name
        self.lease = Lease(remote)
        try:
            with locked(folder):  # a run that has lost its lease may still be working there
                self._manifest = self._open()
        except BaseException:
            with contextlib.suppress(Exception):
                self.lease.release()
            raise

    def _open(self) -> Manifest:
        manifest, mark = read_manifest(self.remote), self.folder / MARK
        if manifest is None:
            manifest = Manifest(secrets.token_hex(8), {})
            self._write(manifest)
        if not mark.is_file() or mark.read_text() != manifest.run:
            self._move_aside()
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(manifest.run)
        newest, there = (max(steps, default=-1) for steps in (local_steps(self.folder), manifest.steps))
        if newest > there:
            _log.warning("resuming from checkpoint %d in %s, never copied to %s", newest, self.folder, self.remote)
            files = manifest.files.items()
            changed = {step_of(name) for name, known in files if not same(self.folder / name, known)}
        else:
            download(self.remote, manifest, self.folder, wanted=self._wanted(manifest, at_one_step=newest == there))
            if manifest.steps and not local_steps(self.folder):
                raise UserError(
                    f"no checkpoint in {self.remote} is complete; nothing was changed there. Put back a copy of "
                    f"{self.remote / 'checkpoints'}; or begin anew: set config.run_folder to another folder"
                )
            changed = set()
            if manifest.files:
                _log.info("copied %s to %s", self.remote, self.folder)
        for name, known in manifest.files.items():
            stamp = self._stamp(name)
            if stamp is not None and step_of(name) not in {None, *changed}:
                self._sent[name] = stamp, known
        return manifest

    def _wanted(self, manifest: Manifest, *, at_one_step: bool) -> Callable[[str], bool]:
        """What the folder takes from the replica: all; but a run that ended here and not there keeps its own logs.

        One that has not ended forgets what it logged after its checkpoint.
        """
        ended, ended_there = finished_frames(self.folder), 0
        if not at_one_step or not ended:
            return lambda name: True
        if run_names.FINISHED in manifest.files:
            with contextlib.suppress(FileNotFoundError), (self.remote / run_names.FINISHED).open("rb") as stream:
                ended_there = frames_said(stream.read())
        if ended <= ended_there:
            return lambda name: True
        _log.warning("this run ended in %s, and its last files were never copied to %s", self.folder, self.remote)
        return lambda name: step_of(name) is not None or not (self.folder / name).exists()

    def take_again(self) -> None:
        """After ``LeaseGone``: goes on where nobody has written meanwhile, with all where the folder was removed.

        ``LeaseLost`` where another process has written: its files stay.
        """
        found = read_manifest(self.remote)
        if found is not None and found != self._manifest:
            raise LeaseLost(f"{self.remote} was written by another process, which has ended")
        self.lease.take()
        if found is None:
            _log.warning("%s was removed while the run went on: what is in %s is copied anew", self.remote, self.folder)
            self._sent, self._manifest = {}, Manifest(self._manifest.run, {})
            self._write(self._manifest)
        self.push()

    def push(self) -> None:
        """Sends what has changed since the last push; raises what storage raises, and goes on from there next time.

        In this order: the newest checkpoint's files; the logs; ``mirror.json``, which makes the checkpoint count;
        ``finished.json``; and then what is no longer in the local folder goes.
        """
        self.lease.renew()
        before, steps = self._manifest.files, local_steps(self.folder)
        newest = max(steps, default=-1)
        # The run went back to an older one: its logs must not come to stand beside what it left.
        left = {step for step in self._manifest.steps if step > newest} | self._remade()
        self._commit({name: known for name, known in before.items() if step_of(name) not in left})
        there = self._manifest.steps
        added = self._send_checkpoint(newest) if steps and newest not in there else {}
        kept = steps if added or newest in there else there
        files = {name: known for name, known in self._manifest.files.items() if step_of(name) in kept} | added
        logs = local_logs(self.folder)
        for name in sorted(logs - {run_names.FINISHED}):
            files |= self._send_log(name)
        self._commit(files | {name: known for name, known in before.items() if name == run_names.FINISHED})
        if run_names.FINISHED in logs:
            self._commit(files | self._send_log(run_names.FINISHED))
        self._remove(before)

    def _stamp(self, name: str) -> _Stamp | None:
        """What tells a local file from another of its name; None where there is none."""
        try:
            status = (self.folder / name).stat()
        except FileNotFoundError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ino

    def _remade(self) -> set[int]:
        """The checkpoints that the run made once more after they were sent; one that is being deleted is not."""
        found = set()
        for name in self._manifest.files:
            step, stamp = step_of(name), self._stamp(name)
            if step is not None and stamp is not None and (name not in self._sent or self._sent[name][0] != stamp):
                found.add(step)
        return found

    def _send_checkpoint(self, step: int) -> dict[str, Digest]:
        """The files of a checkpoint; none where it was deleted meanwhile, having been replaced by newer ones."""
        sent: dict[str, Digest] = {}
        path = folder = self.folder / run_names.CHECKPOINTS / str(step)
        try:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                sent |= self._send(path.relative_to(self.folder).as_posix())
        except FileNotFoundError:
            if path.exists():
                raise
            _log.warning("checkpoint %d was deleted before it was copied; raise config.checkpoint.every_frames", step)
            return {}
        return sent

    def _send_log(self, name: str) -> dict[str, Digest]:
        """The file as it is now, if it was not there already; nothing where it is gone meanwhile."""
        stamp = self._stamp(name)
        if stamp is None:
            return {}
        before, known = self._sent.get(name, (None, self._manifest.files.get(name)))
        if known is None or (before != stamp and not same(self.folder / name, known)):
            return self._send(name)
        self._sent[name] = stamp, known
        return {name: known}

    def _send(self, name: str) -> dict[str, Digest]:
        stamp = self._stamp(name)
        sent = send(self.folder / name, self.remote / name, between=self.lease.renew)
        if stamp is not None:
            self._sent[name] = stamp, sent
        return {name: sent}

    def _commit(self, files: dict[str, Digest]) -> None:
        if files != self._manifest.files:
            manifest = self._manifest._replace(files=files)
            self._write(manifest)
            self._manifest = manifest

    def _write(self, manifest: Manifest) -> None:
        with (self.remote / MANIFEST).open("wb") as stream:
            stream.write(json.dumps(manifest._asdict()).encode())

    def _remove(self, before: dict[str, Digest]) -> None:
        """What is no longer named, and checkpoints that a cut push left behind without a name."""
        now = self._manifest
        for name in before.keys() - now.files.keys():
            if step_of(name) is None:
                (self.remote / name).unlink(missing_ok=True)
        self._tidy = self._tidy and {step_of(name) for name in before} == {step_of(name) for name in now.files}
        if not self._tidy:
            with contextlib.suppress(FileNotFoundError):
                for path in list((self.remote / run_names.CHECKPOINTS).iterdir()):
                    if path.name.isdecimal() and int(path.name) not in now.steps:
                        path.rmtree(missing_ok=True)
            self._tidy = True

    def _move_aside(self) -> None:
        aside = self.folder.with_name(f"{self.folder.name}.replaced")
        others = [path for path in self.folder.glob("*") if not path.name.startswith("process_")]
        children = [path for path in others if path.name != run_names.LOCK]  # which is held
        if children:
            _log.warning("%s holds another run than %s: moved to %s", self.folder, self.remote, aside)
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            for path in children:
                path.rename(aside / path.name)
