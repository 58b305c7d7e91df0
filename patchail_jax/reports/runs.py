"""Run folders as reports see them: the config, the evaluations, and whether the run is finished."""

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from patchail_jax.demos import trajectory
from patchail_jax.errors import UserError
from patchail_jax.files.home import expanded
from patchail_jax.outputs.identity import RunIdentity
from patchail_jax.reports.eval_csv import read_eval_csv
from patchail_jax.reports.text import shown
from patchail_jax.storage import run_names
from patchail_jax.storage.lease import is_held
from patchail_jax.storage.remote import is_remote, reading_copy, runs_in
from patchail_jax.storage.run_config import flatten, read_config
from patchail_jax.storage.run_folder import is_running

_log = logging.getLogger(__name__)

# Of the fields that reports read: what is part of a file's name, and whole numbers with the least of each.
_NAMES = ("method", "env.task")
_LEAST = {
    "seed": 0, "num_frames": 1, "evaluation.every_frames": 0, "demos.num_demonstrations": 0, "env.episode_frames": 1
}  # fmt: skip
_ABSENT = {"demos.path": "", "demos.num_demonstrations": 0, "env.episode_frames": 1, "env.factory": ""}

FINISHED, RUNNING, STOPPED = "finished", "running", "stopped"


class Run(NamedTuple):
    """One run folder.

    ``frames [N]`` and ``returns [N]`` are its evaluations, none for a run that has just begun. From the first whose
    return is not a number on, at ``broken_at`` frames, they count as not there. ``status`` is ``finished``; ``running``
    while a process holds the folder's lock or lease; else ``stopped``, by a signal or a crash. ``expert_return`` is the
    mean of its demonstrations, None where they do not say, are not on this machine, or are of longer or shorter
    episodes than the run's.
    """

    path: Path
    config: dict[str, Any]
    frames: np.ndarray
    returns: np.ndarray
    status: str
    expert_return: float | None
    broken_at: int | None = None

    @property
    def method(self) -> str:
        """The config's name of the method."""
        return str(self.config["method"])

    @property
    def task(self) -> str:
        """The suite's name of the task."""
        return str(self.config["env"]["task"])

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config["seed"])

    @property
    def num_frames(self) -> int:
        """Frames of the whole run."""
        return int(self.config["num_frames"])

    @property
    def title(self) -> str:
        """Task, method and seed in words."""
        return f"{self.task}, {self.method}, seed {self.seed}"

    @property
    def is_complete(self) -> bool:
        """Whether the run is finished and every return a number."""
        return self.status == FINISHED and self.broken_at is None

    def state(self) -> str:
        """The status in words, with how far the run has come."""
        if self.broken_at is not None:
            return f"{self.status}; {self.broken()}"
        if self.status == FINISHED:
            return FINISHED
        reached = f"{int(self.frames[-1]):,}" if len(self.frames) else "no evaluation yet, 0"
        return f"{self.status} at {reached} of {self.num_frames:,} frames"

    def broken(self) -> str:
        """From where on its returns are no numbers, in words."""
        return f"its return is not a number from {self.broken_at:,} frames on"

    @property
    def plays(self) -> bool:
        """Whether its frames are played; cloning's only count its updates."""
        return self.method != "bc"

    def at(self, frame: int) -> float | None:
        """The return at ``frame``: of the nearest evaluation within half an interval; None where there is none.

        At its own length, and where it plays nothing at any later frame too, a complete run's is the first one from
        there on, or its last.
        """
        frames = self.frames.tolist()  # as Python's numbers, which are never too large
        if not frames:
            return None
        if self.is_complete and (frame == self.num_frames or (frame > self.num_frames and not self.plays)):
            return float(self.returns[min(bisect_left(frames, frame), len(frames) - 1)])
        nearest = min(range(len(frames)), key=lambda place: abs(frames[place] - frame))
        near = abs(frames[nearest] - frame) <= self.config["evaluation"]["every_frames"] // 2
        return float(self.returns[nearest]) if near else None


def find_runs(locations: Iterable[str | Path]) -> list[Run]:
    """The runs in ``locations``, run folders or folders above them, by task, method and seed; ``UserError`` for none.

    Those on object storage are read from copies of everything but their checkpoints.
    """
    folders: dict[Path, None] = {}
    for location in map(str, locations):
        if is_remote(location):
            copies = [reading_copy(run, checkpoints=False) for run in runs_in(location)]
            if not copies:
                raise UserError(f"no run in {location}")
            folders.update(dict.fromkeys(copies))
            continue
        path = expanded(location)
        found = list(_folders(path)) if path.is_dir() else []
        if not found:
            raise UserError(f"no run in {path}: a run folder has a config.json")
        folders.update(dict.fromkeys(folder.resolve() for folder in found))
    runs = [read_run(folder) for folder in folders]
    return sorted(runs, key=lambda run: (run.task, run.method, run.seed, str(run.path)))


def _folders(path: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """The run folders in ``path``: nothing below a run folder is one, and links to a folder ``above`` lead nowhere."""
    if (path / run_names.CONFIG).is_file():
        yield path
        return
    for name in (run_names.EVALUATIONS, run_names.METRICS):
        if (path / name).is_file():
            _log.warning("%s is left out: it has %s but no config.json, so it is no run folder", path, name)
            break
    above |= {path.resolve()}
    for child in sorted(path.iterdir()):
        if child.is_dir() and child.resolve() not in above:
            yield from _folders(child, above)


def read_run(path: Path) -> Run:
    """One run folder; ``UserError`` where it is not one."""
    config = read_config(path)
    try:
        identity = identity_of(config)
    except ValueError as error:
        raise UserError(f"{path} is not the folder of a run: its config.json is not a run's ({error})") from error
    found = read_eval_csv(path / run_names.EVALUATIONS, of=identity)
    reached = found.last_frame >= config["num_frames"]
    # The lock first: a finished run may have been started again with more frames.
    status = RUNNING if is_running(path) or is_held(path) else FINISHED if reached else STOPPED
    expert = expert_return(config["env"], config.get("demos", {}))
    return Run(path, config, found.frames, found.returns, status, expert, found.broken_at)


def identity_of(config: dict[str, Any]) -> RunIdentity:
    """The run that ``config`` is of; ``ValueError`` where reports cannot read it (``_require_fields``)."""
    _require_fields(config)
    return RunIdentity(config["method"], config["env"]["task"], config["seed"])


def _require_fields(config: dict[str, Any]) -> None:
    """``ValueError`` names a field that reports read and that no run's config has so. Other versions' are read too."""
    fields = {**_ABSENT, **flatten(config)}
    wrong = [name for name in _NAMES if not isinstance(fields.get(name), str) or not fields[name].isprintable()]
    wrong += [name for name, least in _LEAST.items() if type(fields.get(name)) is not int or fields[name] < least]
    wrong += [name for name in ("demos.path", "env.factory") if not isinstance(fields[name], str)]
    wrong += ["demos"] * ("demos" in fields)
    for name in wrong:
        raise ValueError(f"{name} is {fields.get(name)!r}")


def expert_return(env: dict[str, Any], demos: dict[str, Any]) -> float | None:
    """The mean return of the demonstrations of a config's ``env`` and ``demos``.

    None where the file is not here, has no rewards, or is of other episodes than the run's (``_of_equal_episodes``).
    """
    task = env["task"]
    try:
        path = Path(demos["path"]) if demos.get("path") else trajectory.shipped(task)
        found = trajectory.load(path, expected_task=task)
    except UserError:
        return None
    if found.returns is None or not _of_equal_episodes(found, env):
        return None
    return float(found.returns[: demos.get("num_demonstrations") or None].mean())


def _of_equal_episodes(found: trajectory.Trajectories, env: dict[str, Any]) -> bool:
    """Whether an episode of the run has as many frames to earn rewards in as one of the demonstrations had.

    Where more than half of the file's demonstrations are as long as its longest, time was up there. That must be at the
    run's ``episode_frames``, give or take a step: an action repeat need not divide an episode, and a recording may lack
    the last step. Where lengths vary, each ended by itself, as under any limit that leaves it room: then none may be
    longer than the run's episodes. The same holds in an environment of one's own, which may end its episodes before
    ``episode_frames`` without the config's saying so. Configs from before there was the field are taken as equal.
    """
    limit = env.get("episode_frames")
    if limit is None:
        return True
    step = found.metadata["action_repeat"]
    frames = found.steps * step
    longest = int(frames.max())
    timed = not env.get("factory") and np.mean(frames == longest) > 0.5
    return longest <= limit + step and not (timed and longest < limit - step)


def share_of_expert(score: float, expert: float | None) -> float | None:
    """``score`` over the return of the ``expert``; None unless that is above 0: ratios of losses say the opposite."""
    return score / expert if expert is not None and expert > 0 else None


def incomplete_lines(runs: Sequence[Run]) -> list[str]:
    """One line for each run that is not finished, or whose return is not a number from some frame on."""
    return [f"{run.title}: {run.state()} ({shown(run.path)})" for run in runs if not run.is_complete]
