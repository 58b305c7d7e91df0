"""One run of two processes: stopped, killed and started again, it is the run that nobody disturbed."""

import os
import shutil
import signal
import time

import pytest

from patchail_jax.storage.remote_files import local_steps
from tests.devices import forked
from tests.devices.test_hosts import free_port
from tests.test_train import arguments, cache, lines  # noqa: F401
from tests.xla_flags import FAST_COMPILE

LOST_SECONDS = 10  # the least that JAX accepts
PATIENCE = 240  # seconds, for what takes a few on a machine with nothing else to do


class Processes:
    """Two processes of one run, each with one CPU device."""

    def __init__(self, folder, cache, second=(), both=()):  # noqa: F811
        """``second`` are flags of the second one alone, ``both`` more of both."""
        hosts = {"coordinator": f"127.0.0.1:{free_port()}", "count": 2, "lost_seconds": LOST_SECONDS}
        overrides = [f"--config.hosts.{field}={value}" for field, value in hosts.items()]
        overrides += ["--config.devices=0", "--config.num_frames=1920", "--config.evaluation.every_frames=960"]
        overrides += ["--config.agent.steps_per_update=4", "--config.log.every_updates=5"]  # gloo is slow
        words = arguments(folder, cache, *overrides, *both)[1:]
        self.folders = [folder, folder / "process_1"]
        self.logs = [folder.parent / f"{folder.name}_{process}.log" for process in range(2)]
        self.running = []
        for process, log in enumerate(self.logs):
            own = [f"--config.hosts.index={process}", *(second if process else ())]
            self.running.append(forked.start([*words, *own], log, FAST_COMPILE))

    def wait_for_checkpoint(self, step):
        """Until both have a checkpoint of ``step`` agent steps or later."""
        until = time.monotonic() + PATIENCE
        while any(newest_checkpoint(folder) < step for folder in self.folders):
            assert all(process.exitcode is None for process in self.running), self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.05)

    def wait(self):
        """Both exit statuses."""
        for process in self.running:
            process.join(PATIENCE)
        statuses = [process.exitcode for process in self.running]
        for process in self.running:
            process.kill()  # one that waits for ever
        return statuses

    def said(self):
        return [log.read_text() for log in self.logs]


def newest_checkpoint(folder):
    return max(local_steps(folder), default=-1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache):  # noqa: F811
    processes = Processes(tmp_path_factory.mktemp("undisturbed") / "run", cache)
    assert processes.wait() == [0, 0], processes.said()
    return processes.folders[0]


def test_stopped_and_killed_processes_go_on_as_if_nothing_had_been(undisturbed, tmp_path, cache):  # noqa: F811
    processes = Processes(tmp_path / "run", cache)
    processes.wait_for_checkpoint(40)
    os.kill(processes.running[1].pid, signal.SIGTERM)  # one is asked, both stop
    assert processes.wait() == [128 + signal.SIGTERM] * 2, processes.said()
    first, second = map(newest_checkpoint, processes.folders)
    assert first == second < 240

    for killed in (1, 0):  # 0 is the one that the others meet at
        processes = Processes(tmp_path / "run", cache)
        processes.wait_for_checkpoint(newest_checkpoint(tmp_path / "run") + 30)
        before = time.monotonic()
        processes.running[killed].kill()
        statuses = processes.wait()
        assert time.monotonic() - before < 2 * LOST_SECONDS + 20
        assert statuses[1 - killed] not in (0, 128 + signal.SIGTERM), processes.said()
        said = processes.said()[1 - killed]
        assert "resume from the last checkpoint" in said or "distributed service detected fatal errors" in said
        assert newest_checkpoint(tmp_path / "run") < 240

    newest = max(map(newest_checkpoint, processes.folders))
    shutil.rmtree(processes.folders[1] / "checkpoints" / str(newest), ignore_errors=True)  # its last save was cut
    processes = Processes(tmp_path / "run", cache)
    assert processes.wait() == [0, 0], processes.said()
    assert lines(processes.folders[0]) == lines(undisturbed)

    shutil.rmtree(processes.folders[1] / "checkpoints")
    kept = sorted(local_steps(processes.folders[0]))
    processes = Processes(tmp_path / "run", cache)
    assert processes.wait() == [2, 2], processes.said()
    has = f"process 0 has {', '.join(map(str, kept))}; process 1 has none"
    assert all(has in said for said in processes.said()) and sorted(local_steps(processes.folders[0])) == kept


def test_processes_begin_with_what_another_run_has_learned_or_are_refused_together(undisturbed, tmp_path, cache):  # noqa: F811
    begins = [f"--config.init_from={undisturbed}", "--config.num_frames=400", "--config.evaluation.every_frames=0"]
    processes = Processes(tmp_path / "run", cache, both=begins)
    assert processes.wait() == [0, 0], processes.said()
    assert "begins with the encoder and actor of" in processes.said()[0]
    other_sizes = "--config.network.hidden_size=24"
    processes = Processes(tmp_path / "other", cache, both=[*begins, other_sizes])
    assert processes.wait() == [2, 2], processes.said()
    first, second = processes.said()
    assert "does not fit this run's" in first and "another process of this run was refused: see its message" in second


def test_processes_with_other_configs_are_refused_in_one_line(tmp_path, cache):  # noqa: F811
    processes = Processes(tmp_path / "run", cache, second=["--config.seed=1", "--config.agent.discount=0.9"])
    assert processes.wait() == [2, 2], processes.said()
    for process, said in enumerate(processes.said()):
        own = ("config.agent.discount=0.98, config.seed=0", "config.agent.discount=0.9, config.seed=1")[process]
        (line,) = (line for line in said.splitlines() if line.startswith("error: "))
        assert line.endswith(f"different configs; process {process} has {own}: start the same command on all")
    assert not processes.folders[0].exists()  # nothing was opened
