"""Programs of clusters and clouds: whether they are there, what they do and what they answer."""

import shutil
import subprocess
from collections.abc import Sequence

from patchail_jax.errors import UserError


class Silence(Exception):
    """A program did not answer what it was asked: its last word in one line, or that it said nothing."""


def require_program(name: str, *, remedy: str = "") -> None:
    """``UserError`` unless there is a program of that name; ``remedy`` is how one comes by it."""
    if shutil.which(name) is None:
        raise UserError(f"{name} is not installed{remedy and f': {remedy}'}")


def run_program(words: Sequence[str], text: str | None = None) -> int:
    """Runs ``words``, with ``text`` on standard input; the exit status. ``UserError`` where it is not installed."""
    require_program(words[0])
    return subprocess.run(words, input=text, text=True, check=False).returncode


def answer(words: Sequence[str], *, seconds: float | None = None) -> str:
    """What ``words`` print, within so many seconds. ``UserError`` where it is not installed, ``Silence`` on failure."""
    require_program(words[0])
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, errors="replace")
    except subprocess.TimeoutExpired as error:
        raise Silence(f"no answer within {seconds:g} s") from error
    if done.returncode:
        raise Silence((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
    return done.stdout
