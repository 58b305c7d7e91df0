"""Which runs are seeds of one another: those of one task and method whose configs are equal otherwise."""

import itertools
from collections.abc import Sequence
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.reports.published import method_label
from patchail_jax.reports.runs import Run
from patchail_jax.storage.run_config import MAY_DIFFER, flatten, is_among

_SHOWN = 3  # differences that a line names, and values of each


def by_name(runs: Sequence[Run], *, by: str = "") -> dict[tuple[str, str], list[Run]]:
    """The seeds of each task and method, with ``by`` also of each value of that field, by ``(task, name)``.

    Their configs may differ in the seed and in what may change between two starts of a run (``MAY_DIFFER``); a field
    that one run's version did not have is not compared. ``UserError`` where they differ in more, or a seed is there
    twice.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.task, _name(run, by)), []).append(run)
    for group in groups.values():
        refuse_mixture(group)
        refuse_twice(group)
    return groups


def differences(runs: Sequence[Run], besides: Sequence[str] = ()) -> dict[str, list[Any]]:
    """The fields in which configs differ, with their values, but for the seed, ``MAY_DIFFER`` and ``besides``."""
    values: dict[str, list[Any]] = {}
    for run in runs:
        for field, value in flatten(run.config).items():
            known = values.setdefault(field, [])
            if value not in known:
                known.append(value)
    return {
        field: known
        for field, known in sorted(values.items())
        if len(known) > 1 and not is_among(("seed", *MAY_DIFFER, *besides), field)
    }


def in_words(found: dict[str, list[Any]]) -> str:
    """``discriminator.kernel_size (1, 2, 8) and 4 more``."""
    words = [f"{field} ({', '.join(_some(list(map(str, known))))})" for field, known in found.items()]
    return ", ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")


def refuse_mixture(runs: Sequence[Run]) -> None:
    """``UserError`` where runs of one task and method are of several configs; it names the fields."""
    found = differences(runs)
    if not found:
        return
    covering = (field for field in found if not any(differences(part) for part in _parts(runs, field)))
    field = next(covering, "")
    hint = f", or use curves --by={field}" if field else ""
    first = runs[0]
    raise UserError(f"{first.task}, {first.method}: runs differ in {in_words(found)}: name one sweep's folder{hint}")


def refuse_twice(runs: Sequence[Run]) -> None:
    """``UserError`` where two runs of one task, method and config have the same seed; it names both."""
    for one, other in itertools.combinations(runs, 2):
        if one.seed == other.seed:
            raise UserError(f"{one.title} is there twice, in {one.path} and in {other.path}: name one of them")


def _parts(runs: Sequence[Run], field: str) -> list[list[Run]]:
    parts: dict[str, list[Run]] = {}
    for run in runs:
        parts.setdefault(repr(flatten(run.config).get(field)), []).append(run)
    return list(parts.values())


def _some(words: list[str]) -> list[str]:
    most = 2 * _SHOWN
    return words if len(words) <= most else [*words[:most], "..."]


def _name(run: Run, by: str) -> str:
    """The run's method, with the value of ``by``; ``UserError`` where that is no field of its config."""
    if not by:
        return run.method
    value: Any = run.config
    for part in by.split("."):
        if not isinstance(value, dict) or part not in value:
            raise UserError(f"{run.path} has no config field {by!r}")
        value = value[part]
    if isinstance(value, dict):
        one = next(iter(flatten(value, f"{by}.")), f"{by}.FIELD")
        raise UserError(f"{by} is a group of config fields: name one of them, as --by={one}")
    return f"{method_label(run.method)}, {by.rsplit('.', 1)[-1]}={value}"
