"""Weights & Biases and TensorBoard behind one interface (the only place that imports wandb).

Whoever calls a dashboard expects it to fail: ``Metrics`` turns its errors into one warning for each dashboard.
"""

import contextlib
import json
import logging
import netrc
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np

from patchail_jax.errors import choose, one_line
from patchail_jax.files.json_objects import parsed
from patchail_jax.files.whole_file import write_text
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.outputs.optional import LONGEST
from patchail_jax.outputs.tensorboard import TensorBoard
from patchail_jax.storage.run_folder import RunFolder

_log = logging.getLogger(__name__)

WANDB_MODES = ("auto", "online", "offline", "disabled")

Kind = Literal["train", "evaluation"]


class Dashboard(Protocol):
    """Shows a run over frames played. Threads may share it. Every method may raise anything."""

    title: str  # for warnings

    def scalars(self, kind: Kind, values: Mapping[str, float], *, frame: int) -> None:
        """One row of ``values`` by name; a row of ``train`` has its number of updates as ``update``."""

    def histogram(self, name: str, counts: np.ndarray, edges: np.ndarray, *, frame: int) -> None:
        """``counts [N]`` of the values between ``edges [N+1]``, of an evaluation."""

    def film(self, name: str, path: Path, images: np.ndarray, *, fps: float, frame: int) -> None:
        """An evaluation's film: the file ``path``, and what is in it, ``images [T,H,W,3] uint8``."""

    def rewind(self, frame: int, *, update: int, next_evaluation_frame: int) -> None:
        """Forgets training rows after ``frame`` or ``update``, and evaluations from ``next_evaluation_frame`` on."""

    def close(self) -> None:
        """Writes out what is waiting."""


def open_dashboards(
    run: RunFolder, identity: RunIdentity, config: Mapping[str, Any], *, leads: bool = True
) -> list[Dashboard]:
    """The dashboards that ``config["log"]`` asks for. W&B is left out, with a warning, where it cannot start.

    The whole ``config`` is for W&B to show. A process that does not lead leaves W&B to the one that ``leads``.
    ``UserError`` for an unknown mode, or without tensorboardX.
    """
    asked = config["log"]
    mode = asked["wandb_mode"] if leads else "disabled"
    choose(dict.fromkeys(WANDB_MODES), mode, field="log.wandb_mode")
    opened: list[Dashboard] = []
    if asked["tensorboard"]:
        opened.append(TensorBoard(run.path / "tensorboard"))
    started = _start_wandb(run, identity, mode=wandb_mode_for(mode), project=asked["wandb_project"], config=config)
    if started is not None:
        opened.append(Wandb(started, run.path / "wandb_sent.json"))
    return opened


class Wandb:
    """A W&B run, from ``wandb.init``. Once it has failed, nothing more is sent to it.

    W&B takes no row back: its own rewind needs a server, an account that has it, and rows in the order of their steps.
    So a resumed run sends no row again: the numbers that W&B had first stay. ``sent``, a file in the run folder, says
    which those are. Online, W&B says too: the file of a run that goes on from its replica may be older than the kill.
    """

    title = "W&B"

    def __init__(self, run: Any, sent: Path) -> None:
        self._run, self._path, self._lock = run, sent, threading.Lock()
        self._sent: dict[str, int] = {}  # the last update or frame by name of a row
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            stored = parsed(sent.read_bytes())
            if stored["id"] == run.id:
                self._sent = {name: int(last) for name, last in stored["sent"].items()}
        with contextlib.suppress(Exception):  # offline there is no summary of earlier starts
            self._sent["train"] = max(self._sent.get("train", -1), int(run.summary["update"]))

    def scalars(self, kind: Kind, values: Mapping[str, float], *, frame: int) -> None:
        """Sends a row, unless W&B has it."""
        place = int(values["update"]) if kind == "train" else frame  # before the first step updates alone go on
        self._send(kind, place, lambda wandb: {"frame": frame, **values})

    def histogram(self, name: str, counts: np.ndarray, edges: np.ndarray, *, frame: int) -> None:
        """Sends ``counts [N]`` between ``edges [N+1]``, unless W&B has them."""
        self._send(name, frame, lambda wandb: {"frame": frame, name: wandb.Histogram(np_histogram=(counts, edges))})

    def film(self, name: str, path: Path, images: np.ndarray, *, fps: float, frame: int) -> None:
        """Sends the file ``path``, unless W&B has that film."""
        self._send(name, frame, lambda wandb: {"frame": frame, name: wandb.Video(str(path), format="mp4")})

    def rewind(self, frame: int, *, update: int, next_evaluation_frame: int) -> None:
        """Does nothing: rows that W&B has are not sent again."""

    def close(self) -> None:
        """Ends the W&B run."""
        with self._lock:
            run, self._run = self._run, None
            if run is not None:
                run.finish()

    def _send(self, name: str, place: int, row: Callable[[Any], dict[str, Any]]) -> None:
        with self._lock:
            if self._run is None or place <= self._sent.get(name, -1):
                return
            import wandb

            try:
                self._run.log(row(wandb))
            except Exception:
                self._run = None  # a call to what is broken may take a minute
                raise
            self._sent[name] = place
            # A full disk: after the next start some rows are there twice.
            with contextlib.suppress(OSError):
                write_text(self._path, json.dumps({"id": self._run.id, "sent": self._sent}) + "\n")


def wandb_mode_for(mode: str) -> str:
    """``auto`` is WANDB_MODE, else online if there is a key, else offline."""
    if mode != "auto":
        return mode
    chosen = os.environ.get("WANDB_MODE")
    if chosen:
        return chosen
    return "online" if has_wandb_key() else "offline"


def has_wandb_key() -> bool:
    """Whether W&B's key is in the environment or in ~/.netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _start_wandb(
    run: RunFolder, identity: RunIdentity, *, mode: str, project: str, config: Mapping[str, Any]
) -> Any | None:
    if mode == "disabled":
        return None
    id_file = run.path / "wandb_id"
    try:
        import wandb

        if not id_file.exists():
            id_file.write_text(secrets.token_hex(4))
        started = wandb.init(
            id=id_file.read_text().strip(),
            resume="allow" if mode == "online" else None,
            mode=cast(Any, mode),
            project=project,
            group=identity.group,
            name=identity.name,
            config=dict(config),
            dir=str(run.path),
            settings=wandb.Settings(silent=True, console="off"),
        )
        started.define_metric("frame")
        started.define_metric("*", step_metric="frame")
    except Exception as error:
        _log.warning("W&B cannot start (%s); this run goes on without it", one_line(error, LONGEST))
        return None
    _log.info("W&B: %s", mode if mode != "offline" else f"offline; later: wandb sync {run.path}/wandb/offline-run-*")
    return started
