"""Environments side by side: in this process, or one process each with frames in shared memory."""

import atexit
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Collection, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.shared_memory import SharedMemory
from types import TracebackType
from typing import Any, Self

import numpy as np

from patchail_jax.envs.outcome import Command, Outcome, Reset, Restore, Step
from patchail_jax.errors import UserError

START_SECONDS = 120.0  # to import dm_control and make an OpenGL context, on a slow and busy machine
STOP_SECONDS = 5.0


class WorkerError(RuntimeError):
    """An environment failed; the message has its number and its traceback or exit code."""


def _obey(environment: Any, command: Command) -> Outcome | None:
    match command:
        case Reset(seed):
            return environment.reset(seed)
        case Step(action):
            return environment.step(action)
        case Restore(seed, actions):
            environment.restore(seed, actions)
            return None
    raise TypeError(f"not a command: {command!r}")


def _check_received(pending: Collection[int]) -> None:
    if pending:  # or an old answer would be taken for the answer to a new command
        raise RuntimeError(f"send() before receive(): environments {sorted(pending)} have not been heard")


class InlinePool:
    """Environments in this process, stepped one after another when their outcomes are asked for."""

    def __init__(self, make: Callable[[], Any], num_envs: int) -> None:
        self._environments = [make() for _ in range(num_envs)]
        self._sent: dict[int, Command] = {}
        self.num_envs = num_envs
        self.action_size: int = self._environments[0].action_size

    def send(self, commands: Mapping[int, Command]) -> None:
        """One command an environment, environments by number; they are carried out by ``receive``."""
        _check_received(self._sent)
        self._sent = dict(commands)

    def receive(self) -> dict[int, Outcome | None]:
        """The outcomes of the commands sent; None for ``Restore``."""
        sent, self._sent = self._sent, {}
        return {index: _obey(self._environments[index], command) for index, command in sent.items()}

    def close(self) -> None:
        """Frees the environments."""
        for environment in self._environments:
            environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class ProcessPool:
    """One spawned process an environment, each with its own OpenGL context; same outcomes as ``InlinePool``.

    ``make`` is picklable, for example a ``functools.partial``. ``WorkerError`` where a worker fails or dies, in any
    call; ``UserError`` where it says that the user can mend it. After either the pool can only be closed.
    """

    def __init__(self, make: Callable[[], Any], num_envs: int) -> None:
        # Spawn: a fork of a process that has rendered, or has started XLA's threads, hangs.
        context = multiprocessing.get_context("spawn")
        self.num_envs = num_envs
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        self._memories: list[SharedMemory] = []
        self._frames: dict[int, np.ndarray] = {}
        self._waiting: set[int] = set()
        # Before multiprocessing's own exit handler, which would wait for ever: workers ignore the SIGTERM it sends.
        atexit.register(self.close)
        try:
            for index in range(num_envs):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(make, theirs), name=f"environment-{index}", daemon=True)
                process.start()
                theirs.close()
                self._pipes.append(ours)
                self._processes.append(process)
            ready = [self._answer(index, START_SECONDS) for index in range(num_envs)]
        except BaseException:
            self.close()
            raise
        self.action_size: int = ready[0]

    def send(self, commands: Mapping[int, Command]) -> None:
        """Starts one command an environment, environments by number, and returns at once."""
        _check_received(self._waiting)
        for index, command in commands.items():
            try:
                self._pipes[index].send(command)
            except (BrokenPipeError, ConnectionResetError):
                self._answer(index, 0.0)  # raises what the worker said before it died
        self._waiting = set(commands)

    def receive(self) -> dict[int, Outcome | None]:
        """Waits for the commands sent; ``WorkerError`` as soon as a worker has failed."""
        outcomes: dict[int, Outcome | None] = {}
        while self._waiting:
            by_pipe = {self._pipes[index]: index for index in self._waiting}
            for pipe in wait(list(by_pipe)):
                index = by_pipe[pipe]  # type: ignore[index]
                outcomes[index] = self._outcome(index)
                self._waiting.discard(index)
        return outcomes

    def close(self) -> None:
        """Stops the workers, by force where they do not listen."""
        atexit.unregister(self.close)
        self._frames = {}  # they lie in the memories
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(STOP_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        for memory in self._memories:
            memory.close()
            memory.unlink()
        self._pipes, self._processes, self._memories = [], [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _outcome(self, index: int) -> Outcome | None:
        answer = self._answer(index, None)
        if answer is None:
            return None
        shape, dtype, reward, discount, last = answer
        if index not in self._frames:
            # The frame's size is known with the first frame; from then on it lies in memory both sides see.
            memory = SharedMemory(create=True, size=int(np.prod(shape)) * np.dtype(dtype).itemsize)
            self._memories.append(memory)
            self._frames[index] = np.ndarray(shape, dtype, memory.buf)
            self._pipes[index].send(memory.name)
            self._answer(index, None)
        return Outcome(self._frames[index].copy(), reward, discount, last)

    def _answer(self, index: int, seconds: float | None) -> Any:
        """What worker ``index`` says next; its failure, its death or its silence as a ``WorkerError``."""
        try:
            if not self._pipes[index].poll(seconds):
                raise WorkerError(f"environment {index} did not start within {seconds:.0f} seconds")
            answer = self._pipes[index].recv()
        except (EOFError, ConnectionResetError) as error:
            self._processes[index].join(STOP_SECONDS)
            code = self._processes[index].exitcode
            how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exited ({code})"
            raise WorkerError(f"environment {index} {how}") from error
        if isinstance(answer, UserError):
            raise answer
        if isinstance(answer, Exception):
            raise WorkerError(f"environment {index} failed:\n{answer}") from answer
        return answer


class _Failed(Exception):
    """A worker's traceback as text: the exception itself may not survive a pipe."""


def _work(make: Callable[[], Any], pipe: Connection) -> None:
    """A worker's life: obey until the other end of the pipe is closed."""
    # Ctrl-C and a scheduler's SIGTERM go to the whole process group; the parent alone decides what they mean.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.environ["LP_NUM_THREADS"] = "1"  # software OpenGL: processes scale, its threads do not
    memory: SharedMemory | None = None
    shared: np.ndarray | None = None
    outcome: Outcome | None = None
    try:
        environment = make()
        pipe.send(environment.action_size)
        while True:
            message = pipe.recv()
            if isinstance(message, str):  # the name of the memory for the outcome just sent, and for all to come
                assert outcome is not None
                memory = SharedMemory(message)
                shared = np.ndarray(outcome.frame.shape, outcome.frame.dtype, memory.buf)
                shared[:] = outcome.frame
                pipe.send(True)
                continue
            outcome = _obey(environment, message)
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
    except Exception:  # noqa: BLE001 - whatever it is, the parent tells it
        pipe.send(_Failed(traceback.format_exc()))
    finally:
        del shared
        if memory is not None:
            memory.close()
