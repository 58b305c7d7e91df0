"""A worker process's life: one environment that obeys what comes through a pipe."""

import contextlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from patchail_jax.envs.outcome import Command, Outcome, Reset, Restore, Step
from patchail_jax.errors import UserError, one_line


def obey(environment: Any, command: Command) -> Outcome | None:
    """What the environment answers; None to ``Restore``."""
    match command:
        case Reset(seed):
            return environment.reset(seed)
        case Step(action):
            return environment.step(action)
        case Restore(seed, actions):
            environment.restore(seed, actions)
            return None
    raise TypeError(f"not a command: {command!r}")


IMPORTED_AGAIN = 79  # the exit status of a worker whose script would train while the worker imports it


def end_where_imported_again() -> None:
    """Ends a worker that has come here by importing its parent's script, before it has heard what it is to do.

    It says nothing: its parent knows the status, and tells the user once.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        sys.exit(IMPORTED_AGAIN)


IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failed(Exception):
    """What an environment raised, in one line and with its traceback: the exception itself may not survive a pipe."""

    def __init__(self, line: str, traceback: str) -> None:
        super().__init__(line, traceback)
        self.line, self.traceback = line, traceback


class WorkerError(RuntimeError):
    """An environment failed; ``line`` has its number and what it raised or how it ended, the message its traceback."""

    def __init__(self, line: str, traceback: str = "") -> None:
        super().__init__(f"{line}\n{traceback}".rstrip())
        self.line, self.traceback = line, traceback


@contextlib.contextmanager
def naming(index: int) -> Iterator[None]:
    """An ``OSError`` or ``SystemExit`` of environment ``index`` becomes a ``WorkerError``.

    Whoever runs this process takes an OSError for one of its own output or files, and ends without the traceback. A
    SystemExit would be the end of a run that is not finished.
    """
    try:
        yield
    except (OSError, SystemExit) as error:
        raise WorkerError(f"environment {index} failed ({_said(error)})") from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


class _ParentGone(Exception):
    """The other end of the pipe is closed."""


class _Parent:
    """The pipe to the parent. Its end is ``_ParentGone``: an environment may raise what a closed pipe raises."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def send(self, message: Any) -> None:
        with self._there():
            self._pipe.send(message)

    def recv(self) -> Any:
        with self._there():
            return self._pipe.recv()

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise _ParentGone from error


def work(make: Callable[[], Any], pipe: Connection) -> None:
    """A worker's life: obey until the other end of the pipe is closed."""
    # Ctrl-C and a scheduler's SIGTERM go to the whole process group; the parent alone decides what they mean.
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)  # blocked by the parent until they are ignored
    os.environ["LP_NUM_THREADS"] = "1"  # software OpenGL: processes scale, its threads do not
    parent = _Parent(pipe)
    with contextlib.suppress(_ParentGone):
        try:
            _obey_all(make, parent)
        except _ParentGone:
            raise
        except UserError as error:
            parent.send(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the parent tells it
            parent.send(Failed(_said(error), traceback.format_exc()))


def _obey_all(make: Callable[[], Any], parent: _Parent) -> None:
    """Makes the environment and obeys for ever."""
    memory: SharedMemory | None = None
    shared: np.ndarray | None = None
    outcome: Outcome | None = None
    try:
        environment = make()
        parent.send((environment.action_size, environment.renderer))
        while True:
            message = parent.recv()
            if isinstance(message, str):  # the name of the memory for the outcome just sent, and for all to come
                assert outcome is not None
                memory = SharedMemory(message)
                shared = np.ndarray(outcome.frame.shape, outcome.frame.dtype, memory.buf)
                shared[:] = outcome.frame
                parent.send(True)
                continue
            outcome = obey(environment, message)
            if outcome is None:
                parent.send(None)
                continue
            if shared is not None:
                shared[:] = outcome.frame
            frame = outcome.frame
            parent.send((frame.shape, frame.dtype.str, outcome.reward, outcome.discount, outcome.last))
    finally:
        del shared
        if memory is not None:
            memory.close()
