"""The one exception whose message is meant for the person at the keyboard."""

from collections.abc import Mapping
from typing import TypeVar

Choice = TypeVar("Choice")


class UserError(Exception):
    """Bad input or a missing resource: one line that says what is wrong and what to do.

    The command line prints the message without a traceback and exits with status 2.
    """


class NotFiniteValues(UserError):
    """Something that a policy or a discriminator gave is no number: an update has gone wrong."""


class Unavailable(UserError):
    """A disk or a network did not give what it has, and may give it later: nothing that the user gave is wrong.

    The command line exits with status 1, so that a launcher tries again.
    """


class ProcessLost(UserError):
    """Another process of the run is gone: one line, and nothing that the user gave is wrong.

    The command line ends at once with status 1, so that a launcher tries again.
    """


def one_line(error: BaseException, most: int | None = None) -> str:
    """The message of ``error`` on one line, its first ``most`` characters, or its type's name where it has none."""
    return " ".join(str(error).split())[:most] or type(error).__name__


def printable(text: str) -> str:
    """``text`` on one line: what a file is called or says of itself moves no cursor and begins no other line."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def choose(table: Mapping[str, Choice], name: str, *, field: str) -> Choice:
    """``table[name]``, or a ``UserError`` that says what ``field`` of the config may be."""
    if name not in table:
        raise UserError(f"config.{field} is {name!r}; use one of {', '.join(table)}")
    return table[name]
