"""A word and the program behind it: the table that ``patchail`` and ``patchail launch`` choose from."""

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from patchail_jax.errors import UserError

HELP = ("-h", "--help", "-help", "--helpfull", "--helpshort")


class Verb(NamedTuple):
    """``program`` is "module:function", imported when it is asked for; ``purpose`` is half a line for the help."""

    program: str
    purpose: str


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether any of the words is a flag for help."""
    return any(word in HELP for word in words)


def call(prog: str, verbs: Mapping[str, Verb], words: Sequence[str], *, what: str, text: str) -> int | None:
    """Calls the program that the first word names, with the words behind it; returns its exit status.

    ``what`` is what such a word is called, ``text`` what the help says besides. ``UserError`` for a missing or an
    unknown word.
    """
    word, *rest = words or [""]
    if word in HELP:
        sys.stdout.write(usage(prog, verbs, what=what, text=text))
        return 0
    if word not in verbs:
        near = difflib.get_close_matches(word, verbs, n=1)
        problem = f"no {what} {word!r}" if word and not word.startswith("-") else f"a {what} comes first"
        hint = f"did you mean {prog} {near[0]}?" if near else f"use one of {', '.join(verbs)}"
        raise UserError(f"{problem}; {hint}")
    module, function = verbs[word].program.split(":")
    program: Callable[[Sequence[str]], int | None] = getattr(importlib.import_module(module), function)
    return program(rest)


def usage(prog: str, verbs: Mapping[str, Verb], *, what: str, text: str) -> str:
    """The help: one line a word."""
    width = max(map(len, verbs))
    lines = [f"  {word:{width}}  {verb.purpose}\n" for word, verb in verbs.items()]
    first, last = f"usage: {prog} {what.upper()} ...\n\n", f"{prog} {what.upper()} --help explains one of them.\n"
    return f"{first}{''.join(lines)}\n{text}{last}"
