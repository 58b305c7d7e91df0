"""Environments side by side: in this process, or one process each with frames in shared memory."""

import atexit
import contextlib
import logging
import multiprocessing
import signal
from collections.abc import Callable, Collection, Mapping
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.shared_memory import SharedMemory
from types import TracebackType
from typing import Any

import numpy as np

from patchail_jax.envs.outcome import Answer, Command, Lost, Outcome, Step
from patchail_jax.envs.worker import IGNORED, IMPORTED_AGAIN, Failed, WorkerError, naming, obey, work
from patchail_jax.errors import UserError, choose

_log = logging.getLogger(__name__)

START_SECONDS = 120.0  # to import dm_control and make an OpenGL context, on a slow and busy machine
STOP_SECONDS = 5.0
FAILURES = 3  # of one worker, without an episode finished between them, end the run


def _check_received(pending: Collection[int]) -> None:
    if pending:  # or an old answer would be taken for the answer to a new command
        raise RuntimeError(f"send() before receive(): environments {sorted(pending)} have not been heard")


class InlinePool(contextlib.AbstractContextManager["InlinePool"]):
    """Environments in this process, stepped one after another when their outcomes are asked for.

    ``renderer`` is what their OpenGL calls itself, None where it is not this program's. What an environment raises is
    raised here; an ``OSError`` or ``SystemExit`` as a ``WorkerError``, see ``naming``.
    """

    def __init__(self, make: Callable[[], Any], num_envs: int) -> None:
        self._environments: list[Any] = []
        try:
            for index in range(num_envs):
                with naming(index):
                    self._environments.append(make())
        except BaseException:
            self.close()
            raise
        self._sent: dict[int, Command] = {}
        self.num_envs = num_envs
        self.action_size: int = self._environments[0].action_size
        self.renderer: str | None = self._environments[0].renderer

    def send(self, commands: Mapping[int, Command]) -> None:
        """One command an environment, environments by number; they are carried out by ``receive``."""
        _check_received(self._sent)
        self._sent = dict(commands)

    def receive(self) -> dict[int, Answer]:
        """The outcomes of the commands sent; None for ``Restore``."""
        sent, self._sent = self._sent, {}
        answers: dict[int, Answer] = {}
        for index, command in sent.items():
            with naming(index):
                answers[index] = obey(self._environments[index], command)
        return answers

    def close(self) -> None:
        """Frees the environments."""
        for index, environment in enumerate(self._environments):
            with naming(index):
                environment.close()

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class ProcessPool(contextlib.AbstractContextManager["ProcessPool"]):
    """One spawned process an environment, each with its own OpenGL context; same outcomes as ``InlinePool``.

    ``make`` is picklable, for example a ``functools.partial``. A worker that fails or dies is started again: a step it
    was making is answered by ``Lost``, any other command is obeyed by its successor. ``WorkerError`` where that happens
    three times without a finished episode between, and where a worker cannot start at all; ``UserError`` where a worker
    says that the user can fix it. After either the pool can only be closed.
    """

    def __init__(self, make: Callable[[], Any], num_envs: int) -> None:
        # Spawn: a fork of a process that has rendered, or has started XLA's threads, hangs.
        self._context = multiprocessing.get_context("spawn")
        self._make, self.num_envs = make, num_envs
        self._pipes: dict[int, Connection] = {}
        self._processes: dict[int, Any] = {}
        self._memories: dict[int, SharedMemory] = {}
        self._frames: dict[int, np.ndarray] = {}
        self._failures = dict.fromkeys(range(num_envs), 0)
        self._waiting: dict[int, Command] = {}
        self._told: set[str] = set()  # failures whose traceback has been logged
        # Before multiprocessing's own exit handler, which would wait for ever: workers ignore the SIGTERM it sends.
        atexit.register(self.close)
        try:
            for index in range(num_envs):
                self._start(index)
            ready = [self._answer(index, START_SECONDS) for index in range(num_envs)]
        except BaseException:
            self.close()
            raise
        self.action_size: int
        self.renderer: str | None
        self.action_size, self.renderer = ready[0]

    def send(self, commands: Mapping[int, Command]) -> None:
        """Starts one command an environment, environments by number, and returns at once."""
        _check_received(self._waiting)
        self._waiting = dict(commands)
        for index, command in commands.items():
            self._tell(index, command)

    def receive(self) -> dict[int, Answer]:
        """Waits for the commands sent."""
        answers: dict[int, Answer] = {}
        while self._waiting:
            by_pipe = {self._pipes[index]: index for index in self._waiting}
            for pipe in wait(list(by_pipe)):
                index = by_pipe[pipe]  # type: ignore[index]
                command = self._waiting[index]
                try:
                    answers[index] = outcome = self._outcome(index)
                except WorkerError as error:
                    self._start_again(index, error)
                    if not isinstance(command, Step):
                        self._tell(index, command)
                        continue
                    answers[index] = Lost(error.line)
                else:
                    if outcome is not None and outcome.last:
                        self._failures[index] = 0
                del self._waiting[index]
        return answers

    def close(self) -> None:
        """Stops the workers, by force where they do not listen."""
        atexit.unregister(self.close)
        for pipe in self._pipes.values():
            pipe.close()
        for index in list(self._processes):
            self._end(index)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self, index: int) -> None:
        ours, theirs = self._context.Pipe()
        name = f"environment-{index}"
        process = self._context.Process(target=work, args=(self._make, theirs), name=name, daemon=True)
        # Until it ignores them itself: a scheduler's SIGTERM to the whole process group must not end it. The tracker is
        # started before: to start it takes the signals from those that are blocked.
        resource_tracker.ensure_running()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._pipes[index], self._processes[index] = ours, process

    def _end(self, index: int) -> None:
        """Takes back what the worker had: its pipe, its process and its memory."""
        self._pipes.pop(index).close()
        process = self._processes.pop(index)
        process.join(STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        self._frames.pop(index, None)  # it lies in the memory
        if index in self._memories:
            memory = self._memories.pop(index)
            memory.close()
            memory.unlink()

    def _start_again(self, index: int, error: WorkerError) -> None:
        """Gives a dead worker a successor, or raises ``error`` when it has failed too often."""
        while True:
            self._failures[index] += 1
            if self._failures[index] >= FAILURES:
                line = f"{error.line}, the last of {FAILURES} failures in a row"
                raise WorkerError(line, error.traceback) from error
            if error.traceback and error.line not in self._told:  # once: what fails again and again would fill the log
                self._told.add(error.line)
                _log.warning("%s", error.traceback.rstrip())
            _log.warning("%s; it is started again", error.line)
            self._end(index)
            self._start(index)
            try:
                self._answer(index, START_SECONDS)
            except WorkerError as another:
                error = another
            except UserError as another:  # it could be made before: a robot that cannot be reached for a while
                error = WorkerError(f"environment {index} cannot be made again ({another})")
            else:
                return

    def _tell(self, index: int, message: Any) -> None:
        """Sends it; a worker that is dead is heard of by the next ``_answer``."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._pipes[index].send(message)

    def _outcome(self, index: int) -> Outcome | None:
        answer = self._answer(index, None)
        if answer is None:
            return None
        shape, dtype, reward, discount, last = answer
        if index not in self._frames:
            # The frame's size is known with the first frame; from then on it lies in memory both sides see.
            memory = SharedMemory(create=True, size=int(np.prod(shape)) * np.dtype(dtype).itemsize)
            self._memories[index] = memory
            self._frames[index] = np.ndarray(shape, dtype, memory.buf)
            self._tell(index, memory.name)
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
            if code == IMPORTED_AGAIN:
                raise UserError(
                    "call train under if __name__ == '__main__': environments are processes that import your script; "
                    "or set config.env.workers=inline"
                ) from None
            how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exited ({code})"
            raise WorkerError(f"environment {index} {how}") from error
        if isinstance(answer, UserError):
            raise answer
        if isinstance(answer, Failed):
            raise WorkerError(f"environment {index} failed ({answer.line})", answer.traceback)
        return answer


AnyPool = InlinePool | ProcessPool
POOLS: dict[str, Callable[[Callable[[], Any], int], AnyPool]] = {"process": ProcessPool, "inline": InlinePool}


def make_pool(make: Callable[[], Any], num_envs: int, workers: str) -> AnyPool:
    """``num_envs`` environments in processes, or in this one: ``config.env.workers``."""
    return choose(POOLS, workers, field="env.workers")(make, num_envs)
