"""The folder of one run: what was asked for, with which versions, and that nobody else is writing there."""

import fcntl
import importlib.metadata
import json
import logging
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from patchail_jax.errors import UserError

_log = logging.getLogger(__name__)

FINISHED = "finished.json"
_PACKAGES = (
    "patchail_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "chex",
    "numpy",
    "dm_control",
    "mujoco",
    "wandb",
)


class RunFolder(NamedTuple):
    """An open, locked run folder; ``close`` lets the next run in."""

    path: Path
    lock: TextIO

    @property
    def metrics_jsonl(self) -> Path:
        """Every scalar, a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def eval_csv(self) -> Path:
        """Evaluations alone, for plots."""
        return self.path / "eval.csv"

    @property
    def checkpoints(self) -> Path:
        """Orbax checkpoints."""
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        """Drawn when the run ends."""
        return self.path / "pictures"

    @property
    def profile(self) -> Path:
        """A trace of a few updates."""
        return self.path / "profile"

    @property
    def histograms_jsonl(self) -> Path:
        """What the discriminator says of expert and agent at each evaluation, a histogram a line."""
        return self.path / "histograms.jsonl"

    @property
    def videos(self) -> Path:
        """A film an evaluation, named by frames."""
        return self.path / "videos"

    @property
    def latest_episode(self) -> Path:
        """The newest evaluation's episode, and its maps."""
        return self.videos / "latest.npz"

    def describe(self, config: dict[str, Any]) -> None:
        """Writes what the run goes on with, and with which versions."""
        _write_json(self.path / "config.json", config)
        _write_json(self.path / "versions.json", versions())

    def finish(self, num_frames: int) -> None:
        """Says to whoever starts runs that this one has come to ``num_frames`` and has nothing left to do."""
        _write_json(self.path / FINISHED, {"num_frames": num_frames})

    def close(self) -> None:
        """Releases the lock."""
        self.lock.close()


def finished_frames(path: Path) -> int:
    """The frames that the run in ``path`` had to its end, 0 for one that has not ended or does not exist."""
    try:
        return int(json.loads((path / FINISHED).read_text())["num_frames"])
    except FileNotFoundError:
        return 0


def open_run(path: Path, *, config: dict[str, Any], may_differ: Iterable[str] = ()) -> RunFolder:
    """Makes or re-opens the folder, under an exclusive lock that dies with the process.

    A folder that holds another run is refused: every field of ``config`` must equal the stored one, but for those
    named by ``may_differ`` (dotted names or groups) and those that the run's version did not have, which are logged.
    A run that was there keeps its files as they are: ``describe`` it when its checkpoint has been found to fit.
    Raises ``UserError``, one line.
    """
    path = path.expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the run folder {path} cannot be written ({error.strerror}); set config.run_folder") from error
    lock = _lock(path)
    run, stored = RunFolder(path, lock), path / "config.json"
    if stored.exists():
        try:
            _refuse_other_run(path, json.loads(stored.read_text()), config, tuple(may_differ))
        except UserError:  # its traceback would keep the lock
            lock.close()
            raise
    else:
        run.describe(config)
    return run


def reopen_run(path: Path) -> tuple[RunFolder, dict[str, Any]]:
    """A run's folder as it stands, under the same lock, and its config; nothing is written. Raises ``UserError``."""
    path = path.expanduser().absolute()
    try:
        config: dict[str, Any] = json.loads((path / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not the folder of a run: its config.json cannot be read") from error
    return RunFolder(path, _lock(path)), config


def _lock(path: Path) -> TextIO:
    try:
        lock = (path / "lock").open("a")
    except OSError as error:
        raise UserError(f"the run folder {path} cannot be written ({error.strerror}); set config.run_folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise UserError(f"another process is running in {path}; wait for it, or set config.run_folder") from None
    except OSError as error:
        lock.close()
        raise UserError(f"{path} cannot be locked ({error.strerror}); set config.run_folder to a local disk") from error
    return lock


def versions() -> dict[str, Any]:
    """Versions of Python, of every package that computes, and of this source tree."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    source = Path(__file__).parents[2]
    commit = _git(source, "rev-parse", "HEAD")
    found["git_commit"] = commit
    found["git_dirty"] = bool(_git(source, "status", "--porcelain")) if commit else None
    return found


def _git(folder: Path, *words: str) -> str | None:
    try:
        result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return result.stdout.strip()


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat


def _refuse_other_run(path: Path, stored: dict[str, Any], config: dict[str, Any], may_differ: tuple[str, ...]) -> None:
    before, now = _flat(stored), _flat(json.loads(json.dumps(config)))
    for key in sorted(before.keys() | now.keys()):
        if any(key == name or key.startswith(f"{name}.") for name in may_differ):
            continue
        if key not in before:
            _log.warning("%s is of a version without config.%s; it goes on with %r", path, key, now[key])
        elif before[key] != now.get(key):
            raise UserError(
                f"{path} holds a run with {key}={before[key]!r}, not {now.get(key)!r}; "
                "set config.run_folder to another folder"
            )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(unfinished, path)
