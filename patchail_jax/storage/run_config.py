"""The config that a run's folder keeps: read, and held against the one that is asked for."""

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.files.json_objects import read_json
from patchail_jax.storage import run_names

_log = logging.getLogger(__name__)

# What may change between two starts of one run, fields and groups: how the run is made, not what it computes. Of hosts
# that is the address: ``Checkpoints`` refuses another number of processes.
MAY_DIFFER = (
    "num_frames", "run_folder", "devices", "device_mapping", "platform", "hosts", "env.workers", "evaluation.num_envs",
    "replay.frames_on_device", "demos.cache_dir", "demos.other_renderer", "log", "checkpoint",
)  # fmt: skip
_REMEDY = "put it back, or choose another folder"


def read_config(path: Path) -> dict[str, Any]:
    """The config of the run in ``path``. ``UserError`` where there is none, a damaged one or another program's."""
    try:
        config = read_json(path / run_names.CONFIG, remedy=_REMEDY)
        _ = config["method"], config["env"]["task"]
    except UserError as error:
        raise UserError(f"{path} is not the folder of a run: {error}") from error
    except (LookupError, TypeError) as error:
        raise UserError(f"{path} is not the folder of a run: its config.json is not a run's: {_REMEDY}") from error
    return config


def refuse_other_run(path: Path, *, config: dict[str, Any]) -> None:
    """``UserError`` where the folder ``path`` holds another run than that of ``config``, as of ``open_run``.

    A warning for each field that the run's version did not have.
    """
    for key, value in newer_fields(path, config=config).items():
        _log.warning("%s was made by a version without config.%s; it resumes with %r", path, key, value)


def newer_fields(
    path: Path, *, config: dict[str, Any], remedy: str = "set config.run_folder to another folder"
) -> dict[str, Any]:
    """What ``config`` has that the version of the run in ``path`` did not have; {} where there is no run.

    ``UserError``, which ends in the ``remedy``, where the folder holds another run: where a field differs that is not
    of ``MAY_DIFFER``; and where it holds checkpoints of a run that nothing names.
    """
    if not (path / run_names.CONFIG).exists():
        if any(one.name.isdecimal() for one in (path / run_names.CHECKPOINTS).glob("*")):
            raise UserError(f"{path} has checkpoints and no config.json to say which run's: put it back, or {remedy}")
        return {}
    newer: dict[str, Any] = {}
    before, now = flatten(read_config(path)), flatten(json.loads(json.dumps(config)))
    # What tells two runs apart is said first.
    for key in sorted(before.keys() | now.keys(), key=lambda key: (key not in ("method", "env.task"), key)):
        if is_among(MAY_DIFFER, key):
            continue
        if key not in before:
            newer[key] = now[key]
        elif before[key] != now.get(key):
            raise UserError(f"{path} holds a run with {key}={before[key]!r}, not {now.get(key)!r}; {remedy}")
    return newer


def is_among(names: Iterable[str], field: str) -> bool:
    """Whether the dotted ``field`` is one of ``names``, or of a group among them."""
    return any(field == name or field.startswith(f"{name}.") for name in names)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The fields of nested dicts by dotted name, ``{"env.task": ...}``; as flax's flatten_dict, which imports jax."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat.update(flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
