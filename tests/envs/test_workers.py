"""Processes give what inline environments give, and say so when they fail."""

import functools
import os
import signal
import subprocess
import sys
import time
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.outcome import Lost, Reset, Restore, Step
from patchail_jax.envs.rendering import opengl_name
from patchail_jax.envs.worker import WorkerError
from patchail_jax.envs.workers import InlinePool, ProcessPool
from patchail_jax.errors import UserError
from tests.envs.fakes import Counting, HungUp, Reconnected, Telling


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
        assert processes.renderer == inline.renderer == Counting.renderer
        assert_same(drive(inline), drive(processes))


CARTPOLE = {"task": "cartpole_swingup", "action_repeat": 4, "image_size": 24, "quality": "fast", "episode_frames": 12}


def test_real_environments_in_processes_give_what_inline_ones_give():
    make = functools.partial(FrameEnvironment, **CARTPOLE)
    rounds = [
        {0: Reset(5), 1: Reset(6)},
        *({index: Step(np.array([0.5 - index], np.float32)) for index in range(2)} for _ in range(3)),
        {0: Restore(6, np.full((2, 1), -0.5, np.float32))},
        {0: Step(np.array([-0.5], np.float32))},
    ]
    with InlinePool(make, 2) as inline, ProcessPool(make, 2) as processes:
        answers = []
        for pool in (inline, processes):
            answers.append([])
            for commands in rounds:
                pool.send(commands)
                answers[-1].append(pool.receive())
    assert_same(*answers)
    assert inline.renderer == processes.renderer == opengl_name()
    assert answers[1][3][0].last
    np.testing.assert_array_equal(answers[1][5][0].frame, answers[1][3][1].frame)  # restored as another's episode


def test_workers_draw_with_one_thread_and_do_not_import_jax():
    with ProcessPool(functools.partial(Telling, **CARTPOLE), 1) as pool:
        pool.send({0: Reset(0)})
        pool.receive()
        pool.send({0: Step(np.zeros(1, np.float32))})
        assert pool.receive()[0][1:3] == (0.0, 1.0)


def test_what_spawn_imports_again_in_a_worker_does_not_import_jax():
    program = "import sys, patchail_jax.main; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def play(pool, steps, index=0):
    """Answers to that many steps of environment ``index``."""
    answers = []
    for step in range(steps):
        pool.send({index: Step(np.array([step, step], np.float32))})
        answers.append(pool.receive()[index])
    return answers


def begin(pool, seed=0):
    pool.send({index: Reset(seed) for index in range(pool.num_envs)})
    return pool.receive()


def test_an_environment_that_breaks_three_times_in_a_row_ends_the_pool_with_its_traceback(caplog):
    with ProcessPool(functools.partial(Counting, break_at=2), 2) as pool:
        for _ in range(2):
            begin(pool)
            first, second = play(pool, 2, index=1)
            assert first.frame[0, 0, 1] == 1 and second == Lost(
                "environment 1 failed (ArithmeticError: the fake environment broke)"
            )
        begin(pool)
        with pytest.raises(WorkerError, match="environment 1 failed") as error:
            play(pool, 2, index=1)
    assert str(error.value).startswith(
        "environment 1 failed (ArithmeticError: the fake environment broke), the last of 3 failures in a row\nTraceback"
    )
    assert "fakes.py" in str(error.value)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3 and told[0].startswith("Traceback") and told[1] == told[2]  # its traceback once


def test_an_environment_that_cannot_be_made_again_at_once_is_tried_three_times(tmp_path, caplog):
    with ProcessPool(functools.partial(Reconnected, folder=tmp_path, refused=1), 1) as pool:
        begin(pool)
        assert play(pool, 1) == [Lost("environment 0 failed (ArithmeticError: the fake environment broke)")]
        begin(pool)
        assert play(pool, 5)[-1].last
    assert "environment 0 cannot be made again (env.factory robot:make failed (ConnectionError: no route" in caplog.text


def test_an_environment_that_cannot_be_made_again_ends_the_pool_as_an_error_that_may_pass(tmp_path):
    with ProcessPool(functools.partial(Reconnected, folder=tmp_path, refused=2), 1) as pool:
        begin(pool)
        with pytest.raises(WorkerError, match=r"cannot be made again .*, the last of 3 failures in a row"):
            play(pool, 1)


@pytest.mark.parametrize("error", [ConnectionResetError, BrokenPipeError, EOFError])
def test_what_an_environment_raises_is_not_taken_for_the_parent_s_end(error, caplog):
    with ProcessPool(functools.partial(HungUp, error=error), 1) as pool:
        begin(pool)
        assert play(pool, 1) == [Lost(f"environment 0 failed ({error.__name__}: the robot hung up)")]
    assert "Traceback" in caplog.text and "fakes.py" in caplog.text
    with pytest.raises(WorkerError, match=rf"environment 0 failed \({error.__name__}: the robot(.|\n)*fakes.py"):
        ProcessPool(functools.partial(HungUp, error=error, at="make"), 1)


@pytest.mark.parametrize("at", ["make", "step", "close"])
@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError, FileNotFoundError])
def test_an_inline_environment_s_error_is_not_taken_for_the_program_s_own(error, at):
    with pytest.raises(WorkerError) as caught, InlinePool(functools.partial(HungUp, error=error, at=at), 1) as pool:
        begin(pool)
        play(pool, 1)
    assert str(caught.value) == f"environment 0 failed ({error.__name__}: the robot hung up)"
    assert isinstance(caught.value.__cause__, error)


def test_environments_that_were_made_are_freed_where_another_cannot_be():
    made = []

    class Environment:
        closed = False

        def __init__(self):
            if len(made) == 2:
                raise ArithmeticError
            made.append(self)

        def close(self):
            self.closed = True

    with pytest.raises(ArithmeticError):
        InlinePool(Environment, 3)
    assert [one.closed for one in made] == [True, True]


def test_other_errors_of_an_inline_environment_stay_what_they_are():
    for error in (ArithmeticError, EOFError, UserError):
        with pytest.raises(error, match="hung up"), InlinePool(functools.partial(HungUp, error=error), 1) as pool:
            play(pool, 1)


def test_the_number_is_that_of_the_environment_that_failed():
    with InlinePool(Counting, 2) as pool:
        pool._environments[1] = HungUp(error=BrokenPipeError)
        begin(pool)
        assert play(pool, 1)[0].frame[0, 0, 1] == 1
        with pytest.raises(WorkerError, match="environment 1 failed"):
            play(pool, 1, index=1)


def test_a_killed_worker_has_a_successor_and_the_others_go_on(caplog):
    with ProcessPool(Counting, 2) as pool:
        begin(pool, seed=7)
        play(pool, 1)
        started = time.monotonic()
        os.kill(pool._processes[0].pid, signal.SIGKILL)
        pool.send({index: Step(np.zeros(2, np.float32)) for index in range(2)})
        answers = pool.receive()
        assert answers[0] == Lost("environment 0 was killed by SIGKILL") and answers[1].frame[0, 0, 1] == 1
        assert "environment 0 was killed by SIGKILL; it is started again" in caplog.text
        assert time.monotonic() - started < 10
        assert begin(pool, seed=9)[0].frame[0, 0].tolist() == [9, 0, 0]
        assert [outcome.frame[0, 0, 1] for outcome in play(pool, 3)] == [1, 2, 3]


@pytest.mark.parametrize("command", [Reset(9), Restore(9, np.zeros((1, 2), np.float32))])
def test_a_successor_obeys_what_its_predecessor_died_of(command):
    with ProcessPool(Counting, 1) as pool:
        begin(pool)
        os.kill(pool._processes[0].pid, signal.SIGKILL)
        pool.send({0: command})
        pool.receive()
        (outcome,) = play(pool, 1)
        assert outcome.frame[0, 0, :2].tolist() == [9, 1 if isinstance(command, Reset) else 2]


def test_deaths_with_an_episode_finished_between_them_do_not_add_up():
    with ProcessPool(Counting, 1) as pool:
        for _ in range(2):
            for _ in range(2):
                begin(pool)
                os.kill(pool._processes[0].pid, signal.SIGKILL)
                assert isinstance(play(pool, 1)[0], Lost)
            begin(pool)
            assert play(pool, 5)[-1].last
        names = [memory.name for memory in pool._memories.values()]
        assert len(names) == 1  # and none of those that died


def test_a_worker_that_dies_at_once_again_and_again_ends_the_pool():
    with ProcessPool(functools.partial(Counting, die_at=1), 1) as pool:
        for _ in range(2):
            begin(pool)
            assert isinstance(play(pool, 1)[0], Lost)
        begin(pool)
        with pytest.raises(WorkerError, match="environment 0 was killed by SIGKILL"):
            play(pool, 1)


def test_workers_leave_the_signals_of_a_terminal_and_a_scheduler_to_the_parent():
    with ProcessPool(Counting, 1) as pool:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pool._processes[0].pid, number)
        pool.send({0: Reset(8)})
        assert pool.receive()[0].frame[0, 0, 0] == 8


def test_a_signal_to_the_whole_process_group_ends_no_worker_that_is_starting(monkeypatch):
    start = ProcessPool._start

    def signalled(pool, index):
        start(pool, index)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(pool._processes[index].pid, number)

    monkeypatch.setattr(ProcessPool, "_start", signalled)
    resource_tracker._resource_tracker._stop()  # as in a new program: the first worker would start it
    with ProcessPool(Counting, 1) as pool:
        assert begin(pool, seed=3)[0].frame[0, 0, 0] == 3


def test_what_the_user_can_mend_stays_one_line():
    with pytest.raises(UserError, match="no task 'nonsense'") as error:
        ProcessPool(functools.partial(FrameEnvironment, task="nonsense", action_repeat=1, image_size=24), 1)
    assert "\n" not in str(error.value)


def test_a_worker_that_cannot_start_is_reported_with_its_traceback():
    with pytest.raises(WorkerError, match=r"environment 0 failed \(TypeError: .*\)\nTraceback(.|\n)*TypeError"):
        ProcessPool(functools.partial(Counting, 1), 2)


@pytest.mark.parametrize("kind", [InlinePool, ProcessPool])
def test_answers_are_not_mixed_up(kind):
    with kind(Counting, 2) as pool:
        pool.send({1: Reset(0)})
        with pytest.raises(RuntimeError, match=r"environments \[1\] have not been heard"):
            pool.send({0: Reset(0)})
        assert pool.receive().keys() == {1}


@pytest.mark.parametrize("end", ["pass", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_workers_and_memory_end_with_a_parent_that_does_not_close(end):
    program = (
        "import os, signal\n"
        "from patchail_jax.envs.outcome import Reset\n"
        "from patchail_jax.envs.workers import ProcessPool\n"
        "from tests.envs.fakes import Counting\n"
        "pool = ProcessPool(Counting, 2)\n"
        "pool.send({0: Reset(0), 1: Reset(0)})\n"
        "pool.receive()\n"
        "print(*(f'/proc/{process.pid}' for process in pool._processes.values()), flush=True)\n"
        "print(*(f'/dev/shm/{memory.name}' for memory in pool._memories.values()), flush=True)\n"
        f"{end}\n"
    )
    parent = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    paths, until = parent.stdout.split(), time.monotonic() + 10
    assert len(paths) == 4, parent.stderr
    while any(map(os.path.exists, paths)) and time.monotonic() < until:
        time.sleep(0.05)
    assert [path for path in paths if os.path.exists(path)] == []


def test_no_process_or_memory_is_left_behind():
    pool = ProcessPool(Counting, 2)
    pool.send({0: Reset(0), 1: Reset(0)})
    pool.receive()
    processes, names = list(pool._processes.values()), [memory.name for memory in pool._memories.values()]
    pool.close()
    assert not any(process.is_alive() for process in processes) and len(names) == 2
    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)


@pytest.mark.parametrize("error", [SystemExit(0), BrokenPipeError("robot")])
def test_an_environment_that_ends_the_program_is_an_error_of_the_environment(error):
    """Else an unfinished run would end with status 0."""

    class Ending:
        action_size, renderer = 1, None

        def reset(self, seed):
            raise error

    pool = InlinePool(Ending, 1)
    pool.send({0: Reset(0)})
    with pytest.raises(WorkerError, match=f"environment 0 failed .{type(error).__name__}"):
        pool.receive()
