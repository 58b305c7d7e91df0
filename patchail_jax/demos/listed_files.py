"""The files that an import is given: those of folders in the order of their numbers, none twice or missing between."""

import collections
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path

from patchail_jax.demos.natural_order import by_number
from patchail_jax.errors import UserError
from patchail_jax.files.ordinary import require_file


def files_of(paths: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    """Files as they are given; of folders those that end in ``suffixes``, 2 before 10.

    UserError for none, for one that is given twice, and for such files in a folder's folders that are not given.
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
    given = set(map(os.path.realpath, files))
    for path in filter(Path.is_dir, paths):
        for below in path.glob("*/**/*"):
            if below.suffix.lower() not in suffixes or not below.is_file() or os.path.realpath(below) in given:
                continue
            if not any(part.startswith(".") for part in below.relative_to(path).parts):
                raise UserError(
                    f"{path}: {below.relative_to(path)} lies in a folder of its own, which is not read: give that "
                    "folder too, or move it away"
                )
    return files


def refuse_twice(paths: Sequence[Path]) -> None:
    """UserError where two of ``paths`` are one file."""
    seen: dict[str, Path] = {}
    for path in paths:
        if before := seen.get(file := os.path.realpath(path)):
            other = "" if before == path else f", as {before} too"
            raise UserError(f"{path}: is given twice{other}: its demonstrations would count double")
        seen[file] = path


def usual_step(files: Sequence[Path]) -> int:
    """By how much the number in a name grows from one of ``files`` to the next: 1, or what more than half have."""
    steps = [step(earlier, later) for earlier, later in itertools.pairwise(files)]
    found, count = collections.Counter(steps).most_common(1)[0] if steps else (1, 0)
    return found if found and count > max(1, len(steps) // 2) else 1


def step(earlier: Path, later: Path) -> int | None:
    """From the number in a file's name to that in another's; None where the names differ in more than one number."""
    if re.sub(r"[0-9]+", "0", earlier.name) != re.sub(r"[0-9]+", "0", later.name):
        return None
    numbers = zip(re.findall(r"[0-9]+", earlier.name), re.findall(r"[0-9]+", later.name), strict=True)
    steps = [step for first, second in numbers if (step := int(second) - int(first))]
    return steps[0] if len(steps) == 1 else None
