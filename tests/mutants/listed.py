"""The list of mutants, ``mutants.toml``."""

import tomllib
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_name("mutants.toml")


class Mutant(NamedTuple):
    """``old`` becomes ``new`` in ``file``, and one of ``tests`` must fail."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def read() -> list[Mutant]:
    listed = tomllib.loads(LIST.read_text())
    tests = listed["tests"]
    return [Mutant(**{**one, "tests": tuple(tests[name] for name in one["tests"])}) for one in listed["mutant"]]


def mutated(source: str, mutant: Mutant) -> str:
    """``ValueError`` names a mutant whose text is not there exactly once."""
    found = source.count(mutant.old)
    if found != 1:
        raise ValueError(f"the mutant {mutant.name!r} is out of date: its text is {found} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)
