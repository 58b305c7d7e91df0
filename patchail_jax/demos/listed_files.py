"""The files that an import is given: those of folders in the order of their numbers, none twice or missing between."""

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from patchail_jax.demos.natural_order import by_number
from patchail_jax.demos.ordinary import require_file
from patchail_jax.errors import UserError

_LEAP = 1.5  # times the usual step from one file's number to the next


def files_of(paths: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    """Files as they are given; of folders those that end in ``suffixes``, 2 before 10.

    UserError for none, and for one that is given twice.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(require_file(path))
            continue
        held = [file for file in path.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith(".")]
        if not held:
            raise UserError(f"{path}: a folder without files that end in {' or '.join(suffixes)}")
        files += sorted(map(require_file, held), key=lambda file: by_number(file.name))
    refuse_twice(files)
    return files


def refuse_twice(paths: Sequence[Path]) -> None:
    """UserError where two of ``paths`` are one file."""
    seen: dict[str, Path] = {}
    for path in paths:
        if before := seen.get(file := os.path.realpath(path)):
            other = "" if before == path else f", as {before} too"
            raise UserError(f"{path}: is given twice{other}: its demonstrations would count double")
        seen[file] = path


def leaps(files: Sequence[Path]) -> dict[Path, Path]:
    """Of files in order those whose numbers leap over others or go back, each with the file before it."""
    steps = {
        later: step
        for earlier, later in itertools.pairwise(files)
        if (step := _step(earlier.name, later.name)) is not None
    }
    usual = float(np.median(list(steps.values()))) if len(steps) > 1 else 1.0
    before = dict(itertools.pairwise(reversed(files)))
    return {later: before[later] for later, step in steps.items() if not 0 < step <= _LEAP * usual}


def _step(earlier: str, later: str) -> int | None:
    """From the number in a name to that in the next one; None where they differ in more than one number."""
    if re.sub(r"[0-9]+", "0", earlier) != re.sub(r"[0-9]+", "0", later):
        return None
    numbers = zip(re.findall(r"[0-9]+", earlier), re.findall(r"[0-9]+", later), strict=True)
    steps = [step for first, second in numbers if (step := int(second) - int(first))]
    return steps[0] if len(steps) == 1 else None
