"""Flags of the small programs: argparse whose errors are ``UserError``, one line, as everywhere else."""

import argparse
import functools
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from patchail_jax.errors import UserError
from patchail_jax.files.home import expanded
from patchail_jax.files.ordinary import require_folder

LARGEST = 1e9  # of the numbers that a flag takes: more is a slip, and sums with it overflow
_MOST_NUMBERS = 100_000  # in a list of them
_LONGEST = 40  # signs of a range, or of a number in a message


class Arguments(argparse.ArgumentParser):
    """An argument parser that raises instead of printing its usage and exiting; a flag is one line of its help."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=functools.partial(argparse.HelpFormatter, max_help_position=32), **options)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # also of several, as -2:2 is: no flag begins so

    def error(self, message: str) -> NoReturn:
        """``UserError`` with what argparse has to say, and where the flags are explained."""
        raise UserError(f"{message}; {self.prog} --help lists the flags")


def positive(text: str) -> int:
    """A whole number from 1, as ``type=`` of a flag."""
    return _whole(text, least=1)


def not_negative(text: str) -> int:
    """A whole number from 0, as ``type=`` of a flag."""
    return _whole(text, least=0)


def seed(text: str) -> int:
    """What random numbers are drawn from, as ``type=`` of a flag."""
    return _whole(text, least=0, most=2**32 - 1)


def pixels(text: str) -> int:
    """The side of a picture on which something can be seen, as ``type=`` of a flag."""
    return _whole(text, least=8, most=4096)


def _whole(text: str, *, least: int, most: float = LARGEST) -> int:
    if not re.fullmatch(r"\+?\d+(_\d+)*", text.strip()) or float(text) < least:
        raise argparse.ArgumentTypeError(f"{text[:_LONGEST]!r} is no whole number from {least}")
    if float(text) > most:
        raise argparse.ArgumentTypeError(f"{text[:_LONGEST]!r} is more than {most:.10g}")
    return int(text)


def hours(text: str) -> float:
    """A time of a minute at least, as ``type=`` of a flag."""
    return _number(text, least=1 / 60, what="time in hours, a minute or more")


def rate(text: str) -> float:
    """A number of things a second, above 0, as ``type=`` of a flag."""
    return _number(text, least=1e-6, what="number above 0")


def gigabytes(text: str) -> float:
    """An amount of memory above 0, as ``type=`` of a flag."""
    return _number(text, least=1 / 1024, what="number of gigabytes above 0")


def _number(text: str, *, least: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text[:_LONGEST]!r} is no {what}, from {least:.2g} to {LARGEST:g}")
    return value


def word(text: str) -> str:
    """A text that is not empty and has no spaces, as ``type=`` of a flag."""
    if not text or re.search(r"\s", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name")
    return text


def optional_word(text: str) -> str:
    """As ``word``, or "" where nothing is chosen, as ``type=`` of a flag."""
    return word(text) if text else ""


def whole_numbers(text: str) -> list[int]:
    """``500000,1000000`` as a list of whole numbers from 1, each once, as ``type=`` of a flag."""
    return list(dict.fromkeys(positive(part) for part in text.split(",")))


def number_ranges(text: str, *, what: str) -> tuple[int, ...]:
    """``0,2-4`` as 0, 2, 3, 4, for ``type=`` of a flag; ``what`` one of them is called."""
    numbers: list[int] = []
    for word in filter(None, text.split(",")):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", word)
        if found is None or len(word) > _LONGEST or (found[2] and int(found[2]) < int(found[1])):
            raise argparse.ArgumentTypeError(f"{word!r} is no {what}, nor a range such as 0-4")
        asked = range(int(found[1]), int(found[2] or found[1]) + 1)
        if len(numbers) + asked.stop - asked.start > _MOST_NUMBERS:
            raise argparse.ArgumentTypeError(f"{word!r} makes more than {_MOST_NUMBERS} numbers")
        numbers += asked
    if not numbers:  # an unset variable of a shell's, which must not stand for all
        raise argparse.ArgumentTypeError(f"{text!r} names no {what}; leave the flag out for all")
    return tuple(numbers)


def output_folder(text: str) -> Path:
    """A folder to write into, which need not exist yet, as ``type=`` of a flag; ``UserError`` for a file."""
    return require_folder(expanded(text))


def output_file(text: str) -> Path:
    """A file to write, or to replace, as ``type=`` of a flag; ``UserError`` for a folder or a device."""
    path = expanded(text)
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file that could be replaced: name another")
    return path
