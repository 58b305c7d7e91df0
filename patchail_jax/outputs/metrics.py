"""A run's numbers: console, JSONL, CSV, TensorBoard, and Weights & Biases (the only place that imports it)."""

import contextlib
import csv
import errno
import io
import json
import logging
import math
import netrc
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from patchail_jax.errors import UserError
from patchail_jax.outputs.tensorboard import TensorBoard
from patchail_jax.storage.run_folder import RunFolder

_log = logging.getLogger(__name__)

CSV_COLUMNS = ("agent", "task", "seed", "frame", "episode_reward", "hour")
WANDB_MODES = ("auto", "online", "offline", "disabled")

# Console: the few numbers that tell whether a run is well, short name first. The rest is in the JSONL.
_CONSOLE = (
    ("return", "episode/training_return", ".1f"),
    ("D loss", "discriminator/classification", ".3f"),
    ("D expert", "discriminator/expert_logit", "+.2f"),
    ("D agent", "discriminator/agent_logit", "+.2f"),
    ("reward", "reward/mean", "+.3f"),
    ("Q", "critic/value", "+.2f"),
    ("log pi(a_E)", "cloning/log_likelihood", "+.2f"),
    ("updates/s", "time/updates_per_second", ".1f"),
)


class Metrics:
    """Writes every number to all sinks, as it comes; what is on disk is whole up to the last line."""

    def __init__(
        self,
        run: RunFolder,
        *,
        agent: str,
        task: str,
        seed: int,
        wandb_mode: str,
        wandb_project: str,
        wandb_group: str,
        run_name: str,
        config: Mapping[str, Any],
        tensorboard: bool = False,
    ) -> None:
        if wandb_mode not in WANDB_MODES:
            raise UserError(f"config.log.wandb_mode is {wandb_mode!r}; use one of {', '.join(WANDB_MODES)}")
        self._run, self._identity = run, (agent, task, seed)
        if not run.eval_csv.exists() or not run.eval_csv.stat().st_size:
            run.eval_csv.write_text(",".join(CSV_COLUMNS) + "\n")
        self._tensorboard = TensorBoard(run.path / "tensorboard") if tensorboard else None
        self._wandb = _start_wandb(
            run, mode=wandb_mode, project=wandb_project, group=wandb_group, name=run_name, config=config
        )

    def train(self, scalars: Mapping[str, float], *, frame: int, update: int, hour: float) -> None:
        """Means over the updates since the last call. ``frame`` and ``update`` are counters, ``hour`` wall time."""
        parts = [f"{name} {scalars[key]:{form}}" for name, key, form in _CONSOLE if key in scalars]
        _log.info("train  %9s frames  %8s updates  %s", f"{frame:,}", f"{update:,}", "  ".join(parts))
        self._write("train", {"update": update, "hour": hour, **scalars}, frame)

    def evaluation(self, returns: np.ndarray, *, frame: int, hour: float, scalars: Mapping[str, float]) -> None:
        """The returns ``[episodes]`` of one evaluation, by the task's own reward."""
        mean, std = float(np.mean(returns)), float(np.std(returns))
        _log.info(
            "eval   %9s frames  return %.1f +- %.1f over %d episodes  %.2f h",
            f"{frame:,}",
            mean,
            std,
            len(returns),
            hour,
        )
        named = {"evaluation/return": mean, "evaluation/return_std": std, "hour": hour, **scalars}
        self._write("evaluation", named, frame)
        row = io.StringIO()
        csv.writer(row, lineterminator="\n").writerow([*self._identity, frame, mean, hour])
        _append(self._run.eval_csv, row.getvalue())

    def histogram(self, name: str, counts: np.ndarray, edges: np.ndarray, *, frame: int) -> None:
        """``counts [N]`` of the values between ``edges [N+1]``."""
        line = {"frame": frame, "name": name, "counts": counts.tolist(), "edges": [float(f"{e:.6g}") for e in edges]}
        _append(self._run.histograms_jsonl, json.dumps(line) + "\n")
        if self._tensorboard is not None:
            self._tensorboard.histogram(name, counts, edges, frame=frame)
        self._on_wandb(
            lambda run, wandb: run.log({"frame": frame, name: wandb.Histogram(np_histogram=(counts, edges))})
        )

    def film(self, name: str, path: Path, frames: np.ndarray, *, fps: float, frame: int) -> None:
        """A film for the dashboards: the file ``path``, and what is in it, ``frames [T,H,W,3] uint8``."""
        if self._tensorboard is not None:
            self._tensorboard.film(name, frames, fps=fps, frame=frame)
        self._on_wandb(lambda run, wandb: run.log({"frame": frame, name: wandb.Video(str(path), format="mp4")}))

    def rewind(self, frame: int, *, update: int, next_evaluation_frame: int) -> None:
        """Drops what was logged after ``frame`` or ``update``, and evaluations from ``next_evaluation_frame`` on.

        A run resumed from there will log both again.
        """

        def keep_json(line: str) -> bool:
            try:
                entry = json.loads(line)
                training = entry.get("kind") == "train"  # the rest comes from evaluations
                if training:
                    kept = entry["frame"] <= frame and entry["update"] <= update
                else:
                    kept = entry["frame"] < next_evaluation_frame
                return line.endswith("\n") and kept
            except (json.JSONDecodeError, KeyError):  # the line a kill cut short
                return False

        def keep_csv(line: str) -> bool:
            fields = line.rstrip("\n").split(",")
            whole = line.endswith("\n") and len(fields) == len(CSV_COLUMNS)
            return whole and (fields[0] == CSV_COLUMNS[0] or int(fields[3]) < next_evaluation_frame)

        files = (
            (self._run.metrics_jsonl, keep_json),
            (self._run.histograms_jsonl, keep_json),
            (self._run.eval_csv, keep_csv),
        )
        for path, keep in files:
            if path.exists():
                unfinished = path.with_suffix(".unfinished")
                unfinished.write_text("".join(filter(keep, path.read_text().splitlines(keepends=True))))
                os.replace(unfinished, path)
        if self._tensorboard is not None:
            self._tensorboard.rewind(frame)

    def close(self) -> None:
        """Ends the dashboards' runs."""
        if self._tensorboard is not None:
            self._tensorboard.close()
        self._on_wandb(lambda run, wandb: run.finish())

    def _write(self, kind: str, scalars: Mapping[str, float], frame: int) -> None:
        clean = {key: value if math.isfinite(value) else None for key, value in scalars.items()}
        _append(self._run.metrics_jsonl, json.dumps({"kind": kind, "frame": frame, **clean}) + "\n")
        if self._tensorboard is not None:
            self._tensorboard.scalars(scalars, frame=frame)
        self._on_wandb(lambda run, wandb: run.log({"frame": frame, **scalars}))

    def _on_wandb(self, action: Callable[[Any, Any], Any]) -> None:
        """``action(run, wandb)``, if there is a run. W&B may lose its network or disk; training goes on without it."""
        if self._wandb is None:
            return
        try:
            import wandb

            action(self._wandb, wandb)
        except Exception as error:
            _log.warning("W&B failed (%s); this run goes on without it", _one_line(error))
            self._wandb = None


def _append(path: Path, text: str) -> None:
    """Whole or not at all: a full disk costs a line, and neither the run nor the line that comes next."""
    before = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a") as stream:
            stream.write(text)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        with contextlib.suppress(OSError):
            os.truncate(path, before)
        _log.warning("the disk is full: a line of %s was not written, and the run goes on. Free some space", path.name)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


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
    run: RunFolder, *, mode: str, project: str, group: str, name: str, config: Mapping[str, Any]
) -> Any | None:
    mode = wandb_mode_for(mode)
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
            group=group,
            name=name,
            config=dict(config),
            dir=str(run.path),
            settings=wandb.Settings(silent=True, console="off"),
        )
        started.define_metric("frame")
        started.define_metric("*", step_metric="frame")
    except Exception as error:
        _log.warning("W&B cannot start (%s); this run goes on without it", _one_line(error))
        return None
    _log.info("W&B: %s", mode if mode != "offline" else f"offline; later: wandb sync {run.path}/wandb/offline-run-*")
    return started
