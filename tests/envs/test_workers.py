"""Processes give what inline environments give, and say so when they fail."""

import functools
import time

import numpy as np
import pytest

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.outcome import Reset, Restore, Step
from patchail_jax.envs.workers import InlinePool, ProcessPool, WorkerError
from tests.envs.fakes import Counting


def drive(pool):
    """A few rounds of everything, with a different subset each time."""
    answers = []
    pool.send({0: Reset(3), 1: Reset(4)})
    answers.append(pool.receive())
    for step in range(3):
        pool.send({index: Step(np.array([step, 10 * index + step], np.float32)) for index in range(2)})
        answers.append(pool.receive())
    pool.send({1: Restore(9, np.zeros((2, 2), np.float32))})
    answers.append(pool.receive())
    pool.send({1: Step(np.array([1, 2], np.float32))})
    answers.append(pool.receive())
    return answers


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for index, outcome in one.items():
            if outcome is None:
                assert other[index] is None
                continue
            np.testing.assert_array_equal(outcome.frame, other[index].frame)
            assert outcome[1:] == other[index][1:]


def test_processes_give_what_inline_environments_give():
    with InlinePool(Counting, 2) as inline, ProcessPool(Counting, 2) as processes:
        assert (processes.num_envs, processes.action_size) == (inline.num_envs, inline.action_size) == (2, 2)
        assert_same(drive(inline), drive(processes))


def test_a_real_environment_runs_in_a_process():
    make = functools.partial(
        FrameEnvironment, task="cartpole_swingup", action_repeat=4, image_size=24, quality="fast", episode_frames=8
    )
    with InlinePool(make, 1) as inline, ProcessPool(make, 1) as processes:
        for pool in (inline, processes):
            pool.send({0: Reset(5)})
        assert_same([inline.receive()], [processes.receive()])
        for _ in range(2):
            for pool in (inline, processes):
                pool.send({0: Step(np.array([0.5], np.float32))})
            assert_same([inline.receive()], [processes.receive()])


def test_workers_do_not_import_jax():
    with ProcessPool(functools.partial(Counting, modules=True), 1) as pool:
        pool.send({0: Reset(0)})
        pool.receive()
        pool.send({0: Step(np.zeros(2, np.float32))})
        assert pool.receive()[0].reward == 0.0


def test_an_exception_in_a_worker_comes_with_its_traceback():
    with ProcessPool(functools.partial(Counting, break_at=2), 2) as pool:
        pool.send({0: Reset(0), 1: Reset(0)})
        pool.receive()
        pool.send({0: Step(np.zeros(2)), 1: Step(np.zeros(2))})
        pool.receive()
        pool.send({1: Step(np.zeros(2))})
        with pytest.raises(WorkerError, match="environment 1 failed") as error:
            pool.receive()
    assert "ArithmeticError: the fake environment broke" in str(error.value) and "fakes.py" in str(error.value)


def test_a_killed_worker_is_reported_at_once():
    with ProcessPool(functools.partial(Counting, die_at=1), 1) as pool:
        pool.send({0: Reset(0)})
        pool.receive()
        pool.send({0: Step(np.zeros(2))})
        started = time.monotonic()
        with pytest.raises(WorkerError, match="environment 0 was killed by SIGKILL"):
            pool.receive()
        assert time.monotonic() - started < 3


def test_a_worker_that_cannot_start_is_reported():
    with pytest.raises(WorkerError, match="no task 'nonsense'"):
        ProcessPool(functools.partial(FrameEnvironment, task="nonsense", action_repeat=1, image_size=24), 1)


def test_no_process_or_memory_is_left_behind():
    pool = ProcessPool(Counting, 2)
    pool.send({0: Reset(0), 1: Reset(0)})
    pool.receive()
    processes, names = list(pool._processes), [memory.name for memory in pool._memories]
    pool.close()
    assert not any(process.is_alive() for process in processes) and len(names) == 2
    from multiprocessing.shared_memory import SharedMemory

    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
