"""A worker process's life: one environment that obeys what comes through a pipe."""

import os
import signal
import traceback
from collections.abc import Callable
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


IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failed(Exception):
    """What an environment raised, in one line and with its traceback: the exception itself may not survive a pipe."""

    def __init__(self, line: str, traceback: str) -> None:
        super().__init__(line, traceback)
        self.line, self.traceback = line, traceback


def work(make: Callable[[], Any], pipe: Connection) -> None:
    """A worker's life: obey until the other end of the pipe is closed."""
    # Ctrl-C and a scheduler's SIGTERM go to the whole process group; the parent alone decides what they mean.
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)  # blocked by the parent until they are ignored
    os.environ["LP_NUM_THREADS"] = "1"  # software OpenGL: processes scale, its threads do not
    memory: SharedMemory | None = None
    shared: np.ndarray | None = None
    outcome: Outcome | None = None
    try:
        environment = make()
        pipe.send((environment.action_size, environment.renderer))
        while True:
            message = pipe.recv()
            if isinstance(message, str):  # the name of the memory for the outcome just sent, and for all to come
                assert outcome is not None
                memory = SharedMemory(message)
                shared = np.ndarray(outcome.frame.shape, outcome.frame.dtype, memory.buf)
                shared[:] = outcome.frame
                pipe.send(True)
                continue
            outcome = obey(environment, message)
            if outcome is None:
                pipe.send(None)
                continue
            if shared is not None:
                shared[:] = outcome.frame
            frame = outcome.frame
            pipe.send((frame.shape, frame.dtype.str, outcome.reward, outcome.discount, outcome.last))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent has closed its end, or is gone
    except UserError as error:
        pipe.send(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells it
        pipe.send(Failed(f"{type(error).__name__}: {one_line(error)}", traceback.format_exc()))
    finally:
        del shared
        if memory is not None:
            memory.close()
