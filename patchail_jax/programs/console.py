"""What every program of the package does at its two ends: its log on the console, bad input as one line, its status."""

import contextlib
import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from patchail_jax.errors import ProcessLost, Unavailable, UserError, one_line, printable
from patchail_jax.files.trouble import NAME, said_of

# A program's exit statuses, beside 0 and 1: what the user gave is wrong, and trying again would say the same; somebody
# asked it to save and stop.
BAD_INPUT = 2
SAVED = (128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGHUP)


def start(program: Callable[[Sequence[str]], int | None], words: Sequence[str]) -> None:
    """Runs ``program`` with its words; exits with its status unless that is 0, with 2 for bad input, or 128 + signal.

    With 1 where another process of the run was lost. Where this one fails and others go on, it ends without them. The
    package's warnings go to stderr, unless the program shows its whole log.
    A program that has saved before it stops raises KeyboardInterrupt with the signal's number.
    """
    # So that config.env.factory finds modules here however Python was started; last, so that it shadows no package.
    try:
        here = os.getcwd()
    except FileNotFoundError:
        sys.stderr.write("error: the folder that this is started in is gone: change to another one\n")
        sys.exit(BAD_INPUT)
    if here not in sys.path:
        sys.path.append(here)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - as long as the program
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal has no signs for ends no program
    warnings.formatwarning = _warned
    show_log(sys.stderr, level=logging.WARNING)
    try:
        _run(program, words)
    except BaseException as end:
        hosts = sys.modules.get("patchail_jax.devices.hosts")  # where it is not, there are no others
        if hosts is None or hosts.have_ended_together():
            raise
        if not isinstance(end, SystemExit):
            traceback.print_exc()
        _end_at_once(end.code if isinstance(end, SystemExit) and isinstance(end.code, int) else 1)


def _run(program: Callable[[Sequence[str]], int | None], words: Sequence[str]) -> None:
    """Runs ``program`` and raises ``SystemExit`` with its status, or the error that has no words of its own."""
    try:
        with one_line_errors():
            status = program(words)
            sys.stdout.flush()
        if status:
            sys.exit(status)
    except BrokenPipeError:  # as of ``| head``: nobody reads what is said
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except ProcessLost as lost:
        _say_error(lost)
        _end_at_once(1)
    except KeyboardInterrupt as interrupt:
        saved = bool(interrupt.args)
        message = "stopped and saved; the same command resumes this run" if saved else "stopped"
        sys.stderr.write(f"{message}\n")
        sys.exit(128 + (interrupt.args[0] if saved else signal.SIGINT))


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """A ``UserError`` ends the program with one line on stderr and status 2, or 1 where it may pass; ``ProcessLost`` is
    the caller's.

    So does an error of a file: with status 2 where its name is wrong, else with 1.
    """
    try:
        yield
    except ProcessLost:
        raise
    except UserError as error:
        _say_error(error)
        sys.exit(1 if isinstance(error, Unavailable) else BAD_INPUT)
    except OSError as error:
        if not (line := said_of(error)):
            raise
        _say_error(line)
        sys.exit(BAD_INPUT if error.errno in NAME else 1)


def _say_error(said: object) -> None:
    sys.stderr.write(f"error: {printable(str(said))}\n")


def _warned(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning of Python's as the console shows it: one line, without the place in a library that it comes from."""
    return f"warning: {one_line(Warning(message))}\n"


def _end_at_once(status: int) -> None:
    """Ends without Python's exit handlers: JAX's wait for other processes, and then abort with a trace of the stack.

    Whoever raised the error has closed its files on the way here.
    """
    with contextlib.suppress(OSError):  # nobody may read what is said
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


class _Console(logging.StreamHandler[TextIO]):
    """Says nothing to a reader that is gone, as of ``| tee`` after a Ctrl-C, nor of it: the run has to be saved."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)


def show_log(stream: TextIO, *, level: int = logging.INFO) -> None:
    """The package's log lines from ``level`` on, as they are, on ``stream``."""
    console = _Console(stream)
    console.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger("patchail_jax")
    # The root logger belongs to absl, which ml_collections and orbax bring along with their own talk.
    ours.handlers, ours.propagate = [console], False
    ours.setLevel(level)
