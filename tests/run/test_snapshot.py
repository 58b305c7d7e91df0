"""A checkpoint of several processes is one that all of them have."""

from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.run.snapshot import Snapshot
from patchail_jax.storage.checkpoints import Checkpoints
from tests.devices.test_hosts import Saying


def nothing(*_, **__):
    return None


def snapshot_of(folder, hosts, number, pushed):
    """With a learner, a replay and a clock of next to nothing."""
    checkpoints = Checkpoints(folder / "checkpoints", keep=2)
    holds = SimpleNamespace(state=lambda: {"number": number}, transitions=0)
    return Snapshot(
        clock=SimpleNamespace(number=number, update=number, frame=2 * number, checkpoint_made=nothing, state=dict),
        learner=SimpleNamespace(state={"weight": np.full(2, number, np.float32)}),
        experience=holds,
        actors=holds,
        evaluations=SimpleNamespace(finish=nothing),
        log=SimpleNamespace(scalars=SimpleNamespace(check_finite=nothing, state=dict)),
        stopwatch=SimpleNamespace(lap=nothing),
        checkpoints=checkpoints,
        folder=SimpleNamespace(hold=lambda: True),
        hosts=hosts,
        config={},
        push=lambda: pushed.append(number),
        begin=nothing,
    )


def steps(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


def test_one_that_another_process_could_not_write_does_not_push_out_those_that_all_have(tmp_path, caplog):
    pushed = []
    for number in (1, 2):
        assert snapshot_of(tmp_path, Saying(1), number, pushed).save()
    for number in (3, 4):  # the other's disk is full: it is not refused, and has not saved
        assert not snapshot_of(tmp_path, Saying(1, 0), number, pushed).save()
        assert f"checkpoint {number} is removed: another process of this run could not write" in caplog.text
    assert pushed == [1, 2] and steps(tmp_path) == [2]


def test_a_refusal_of_another_process_is_one_of_all(tmp_path):
    with pytest.raises(UserError, match="another process of this run was refused"):
        snapshot_of(tmp_path, Saying(0), 1, []).save()
