"""A sweep is a tuple of grids; pure functions make runs and command lines of it."""

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

from patchail_jax.errors import UserError

PROGRAM = ("-m", "patchail_jax.main")  # behind the interpreter
Value = str | int | float | bool
# Fields that a sweep decides, and the flags of a launcher that choose among what it has.
_DECIDED = {"seed": "use --seeds", "env.task": "use --tasks", "method": "use --methods", "run_folder": "use --root"}
_NOTHING: Mapping[str, Value] = MappingProxyType({})


class Grid(NamedTuple):
    """Every combination of ``tasks``, ``methods`` and ``seeds``, with the same overrides.

    ``tasks`` are names of configs, ``methods`` their suffixes, ``overrides`` fields of the config.
    ``variant`` stands behind each method: ``small`` is ``patchail+small``.
    ``label`` tells grids of a sweep apart that have methods in common: it names a folder between method and seed.
    """

    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    overrides: Mapping[str, Value] = _NOTHING
    label: str = ""
    variant: str = ""


class PlannedRun(NamedTuple):
    """One run: its name within the sweep, which is its folder under ``root``, and its flags."""

    name: str
    folder: str
    flags: tuple[str, ...]


def runs(grids: Iterable[Grid], *, root: str, overrides: Sequence[str] = ()) -> list[PlannedRun]:
    """Every run of a sweep, seeds outermost: a sweep that is cut short has whole tables of fewer seeds.

    Run folders lie under ``root``, a local path or one that the launched machines know. ``overrides`` are flags
    (``--config.KEY=VALUE``) for all runs, after those of the grids. ``UserError`` where two runs share a folder, and
    for an override of what the sweep decides: it would make several runs the same.
    """
    grids = tuple(grids)
    _refuse_decided(grids, overrides)
    found: list[tuple[int, PlannedRun]] = []
    for grid in grids:
        for task in grid.tasks:
            for method in grid.methods:
                found += [(seed, _run(grid, task, method, seed, root, overrides)) for seed in grid.seeds]
    ordered = [run for _, run in sorted(found, key=lambda pair: pair[0])]
    folders = [run.folder for run in ordered]
    twice = sorted({folder for folder in folders if folders.count(folder) > 1})
    if twice:
        raise UserError(f"two runs of this sweep have the folder {twice[0]}; give their grids a label")
    return ordered


def refuse_form(sweep: str, grids: Iterable[Grid]) -> None:
    """``UserError`` where what is written as ``sweep`` is no tuple of grids, or where names of its runs are no good.

    They must not lead out of the sweep's folder, and must stay apart as names in clouds.
    """
    if isinstance(grids, Grid) or not all(isinstance(grid, Grid) for grid in grids):
        raise UserError(f"the sweep {sweep!r} is not a tuple of Grids; one alone needs a comma: (Grid(...),)")
    for field in ("tasks", "methods", "seeds"):
        for entries in (getattr(grid, field) for grid in grids):
            if isinstance(entries, str) or not isinstance(entries, Sequence):
                raise UserError(
                    f"{field} of the sweep {sweep!r} are {entries!r}; one alone needs a comma: ({entries!r},)"
                )
    named: dict[str, str] = {}
    for run in runs(grids, root=""):
        path = PurePosixPath(run.name)
        if str(path) != run.name or path.is_absolute() or ".." in path.parts:
            raise UserError(f"{run.name!r} of the sweep {sweep!r} is no folder below its root; give it another label")
        other = named.setdefault(identifier(sweep, run.name, limit=len(sweep) + len(run.name) + 10), run.name)
        if other != run.name:
            raise UserError(f"{other} and {run.name} of the sweep {sweep!r} are one name in clouds; give another label")


def _refuse_decided(grids: Sequence[Grid], overrides: Sequence[str]) -> None:
    """``UserError`` for the first override of a field that tells the runs of the sweep apart."""
    decided = {**_DECIDED, **{key: "choose another sweep" for grid in grids for key in grid.overrides}}
    for flag in overrides:
        key = flag.partition("=")[0].removeprefix("--config.")
        if key in decided:
            raise UserError(f"config.{key} is decided by the sweep: {decided[key]}")


def _run(grid: Grid, task: str, method: str, seed: int, root: str, overrides: Sequence[str]) -> PlannedRun:
    name = "/".join(part for part in (task, method, grid.label, f"seed_{seed}") if part)
    folder = f"{root.rstrip('/')}/{name}"
    flags = (
        f"--config={task}:{'+'.join(filter(None, (method, grid.variant)))}",
        f"--config.seed={seed}",
        *(f"--config.{key}={value}" for key, value in grid.overrides.items()),
        *overrides,
        f"--config.run_folder={folder}",
    )
    return PlannedRun(name, folder, flags)


def selected(
    grids: Iterable[Grid],
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    labels: Sequence[str] = (),
) -> list[Grid]:
    """The grids with those labels, tasks, methods and seeds alone; none given is all.

    ``UserError`` for one not in them.
    """
    grids = list(grids)
    known_labels = dict.fromkeys(grid.label for grid in grids if grid.label)
    for label in labels:
        if label not in known_labels:
            raise UserError(f"this sweep has no labels {label!r}; it has {', '.join(known_labels) or 'none'}")
    grids = [grid for grid in grids if not labels or grid.label in labels]
    for field, wanted in (("tasks", tasks), ("methods", methods), ("seeds", seeds)):
        known = sorted({entry for grid in grids for entry in getattr(grid, field)})
        for entry in wanted:
            if entry not in known:
                raise UserError(f"this sweep has no {field} {entry!r}; it has {', '.join(map(str, known))}")
    return [
        grid._replace(
            tasks=tuple(task for task in grid.tasks if not tasks or task in tasks),
            methods=tuple(method for method in grid.methods if not methods or method in methods),
            seeds=tuple(seed for seed in grid.seeds if not seeds or seed in seeds),
        )
        for grid in grids
    ]


# What JAX_PLATFORMS is on a cluster's machines: the CPU is one of them, as first weights are drawn by the host.
JAX_PLATFORMS = {"gpu": "cuda,cpu", "tpu": "tpu,cpu"}


def on_platform(run: PlannedRun, platform: str) -> PlannedRun:
    """The run, which refuses any other platform than "gpu" or "tpu"; "" is any."""
    return told(run, f"--config.platform={platform}") if platform else run


def told(run: PlannedRun, *flags: str) -> PlannedRun:
    """The run with ``flags`` of its launcher, which an override may change."""
    return run._replace(flags=(*run.flags[:2], *flags, *run.flags[2:]))


def command(run: PlannedRun, *, python: str = "python") -> tuple[str, ...]:
    """The run's words, interpreter first: for ``subprocess``, and by ``shlex.join`` for a shell."""
    return (python, *PROGRAM, *run.flags)


def identifier(*parts: str, limit: int) -> str:
    """The parts as a name for Kubernetes and clouds: lower case, digits and hyphens, at most ``limit`` characters.

    A name that is cut carries a checksum of the whole, as does one that has other characters than those, "/" and "_",
    so that two names stay two; ``refuse_form`` sees to "/" and "_".
    """
    given = "-".join(parts)
    whole = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-")
    plain = re.sub(r"[/_]", "-", given) == whole and not any("-" in part for part in parts)
    if plain and len(whole) <= limit:
        return whole
    return shortened(whole, whole if plain else "\n".join(parts), limit=limit, mark="-")


def shortened(name: str, given: str, *, limit: int, mark: str) -> str:
    """``name``, cut where it must be, and behind ``mark`` a checksum of what was ``given`` for it."""
    return f"{name[: limit - 9].strip(mark)}{mark}{checksum(given)}".lstrip(mark)


def checksum(text: str) -> str:
    """Eight characters that stand for ``text``."""
    return f"{zlib.crc32(text.encode()):08x}"
