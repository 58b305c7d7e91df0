"""Checkpoints come back bit by bit, or say why not."""

import errno
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.storage.checkpoints import Checkpoints
from tests.storage.checkpoint import HOST, assert_equal, make_state, template


def test_everything_comes_back_as_it_was(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.restore(template()) is None
    assert checkpoints.save(10, state=make_state(), host=HOST)
    state, host, step = Checkpoints(tmp_path, keep=2).restore(template())
    assert step == 10
    assert_equal(state, jax.device_get(make_state()))
    assert_equal(host, HOST)
    assert host["progress"]["update"] == 2**40 + 1 and host["progress"]["hours"] == 0.1 + 0.2


def test_the_newest_few_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, state=make_state(step), host=HOST)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.isdigit()) == ["2", "3"]
    state, _, step = checkpoints.restore(template())
    assert step == 3
    assert_equal(state, jax.device_get(make_state(3)))


def test_half_written_ones_are_ignored(tmp_path):
    Checkpoints(tmp_path, keep=3).save(1, state=make_state(1), host=HOST)
    (tmp_path / "2.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    assert Checkpoints(tmp_path, keep=3).restore(template())[2] == 1


def test_a_step_that_is_there_is_not_written_again(tmp_path):
    Checkpoints(tmp_path, keep=2).save(10, state=make_state(), host=HOST)
    again = Checkpoints(tmp_path, keep=2)
    again.restore(template())
    assert again.save(10, state=make_state(), host=HOST)
    assert_equal(again.restore(template())[0], jax.device_get(make_state()))


def test_hours_that_went_on_are_no_other_checkpoint(tmp_path):
    Checkpoints(tmp_path, keep=2).save(10, state=make_state(), host=HOST)
    later = {**HOST, "progress": {**HOST["progress"], "hours": 0.5}}
    again = Checkpoints(tmp_path, keep=2)
    assert again.save(10, state=make_state(), host=later)
    assert again.restore(template())[1]["progress"]["hours"] == 0.1 + 0.2


@pytest.mark.parametrize("first_with", [True, False])
def test_an_evaluation_that_is_made_again_is_no_other_checkpoint(tmp_path, first_with):
    hosts = [HOST, {**HOST, "evaluation": {"frame": 8, "state": {"0": np.arange(3.0)}}}]
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.save(10, state=make_state(), host=hosts[first_with])
    assert checkpoints.save(10, state=make_state(), host=hosts[not first_with])
    assert_equal(checkpoints.restore(template())[1], hosts[first_with])


def test_other_contents_under_a_step_that_is_there_are_an_error(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(10, state=make_state(), host=HOST)
    replay = {**HOST, "replay": {"frames": HOST["replay"]["frames"] + 1, "head": 5}}
    for state, host in ((make_state(2.0), HOST), (make_state(), replay), (make_state(), {})):
        with pytest.raises(UserError, match=f"{tmp_path}/10 already exists with other content") as error:
            checkpoints.save(10, state=state, host=host)
        assert "\n" not in str(error.value)
    assert_equal(checkpoints.restore(template())[0], jax.device_get(make_state()))


def test_what_is_there_under_a_step_and_cannot_be_read_is_an_error(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(10, state=make_state(), host=HOST)
    (tmp_path / "10" / "plain" / "metadata").write_text("")
    with pytest.raises(UserError, match=f"{tmp_path}/10 cannot be read"):
        checkpoints.save(10, state=make_state(), host=HOST)


def test_a_leaf_that_does_not_fit_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.save(1, state=make_state(), host=HOST)
    wrong = template()
    wrong["params"]["dense"]["kernel"] = np.zeros((2, 4), np.float32)
    with pytest.raises(UserError, match=r"params.dense.kernel is float32\[2, 3\], not float32\[2, 4\]"):
        checkpoints.restore(wrong)
    missing = template()
    missing["params"]["dense"]["bias"] = np.zeros(3, np.float32)
    with pytest.raises(UserError, match="the checkpoint has no params.dense.bias"):
        checkpoints.restore(missing)
    surplus = template()
    del surplus["params"]["dense"]["half"]
    with pytest.raises(UserError, match="this program has no params.dense.half"):
        checkpoints.restore(surplus)
    other_type = template()
    other_type["params"]["dense"]["half"] = np.zeros(2, np.float32)
    with pytest.raises(UserError, match=r"params.dense.half is bfloat16\[2\], not float32\[2\]"):
        checkpoints.restore(other_type)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_full_or_failing_disk_keeps_the_older_checkpoint_and_the_run(tmp_path, monkeypatch, caplog, number):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, state=make_state(1), host=HOST)

    def full(*args, **kwargs):
        (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
        raise ValueError("Orbax") from OSError(number, os.strerror(number))

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(checkpoints._manager, "save", full)
        assert checkpoints.save(2, state=make_state(2), host=HOST) is False
    assert f"checkpoint 2 was not written ({os.strerror(number)})" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("2")] == []
    assert checkpoints.restore(template())[2] == 1
    assert checkpoints.save(3, state=make_state(3), host=HOST)


@pytest.mark.parametrize("number", [errno.ENOTEMPTY, errno.EBUSY, errno.EIO], ids=errno.errorcode.get)
def test_an_older_checkpoint_that_cannot_be_removed_takes_nothing_from_the_new_one(
    tmp_path, monkeypatch, caplog, number
):
    checkpoints, remove = Checkpoints(tmp_path, keep=1), shutil.rmtree
    checkpoints.save(1, state=make_state(1), host=HOST)

    def busy(path, *args, **kwargs):  # as NFS is while a reader has a file of it open
        if Path(path).name == "1":
            raise OSError(number, os.strerror(number))
        remove(path, *args, **kwargs)

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr("shutil.rmtree", busy)
        assert checkpoints.save(2, state=make_state(2), host=HOST)
    assert "checkpoint 2 is written, and an older one cannot be removed" in caplog.text
    assert checkpoints.save(3, state=make_state(3), host=HOST) and checkpoints.restore(template())[2] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def test_a_full_disk_touches_no_checkpoint_with_a_similar_number(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=5)
    for step in (2, 20, 201):
        checkpoints.save(step, state=make_state(step), host=HOST)
    (tmp_path / "2").rename(tmp_path / "3")  # so that 2 is new, and a prefix of the others
    checkpoints = Checkpoints(tmp_path, keep=5)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints._manager, "save", full)
    assert checkpoints.save(2, state=make_state(2), host=HOST) is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20", "201", "3"]


def test_a_disk_that_fills_up_while_orbax_writes_is_a_full_disk(tmp_path, monkeypatch, caplog):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, state=make_state(1), host=HOST)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_text", full)  # Orbax writes the JSON item with it, in a thread of its own
        patched.setattr("etils.epath.gpath.PosixGPath.write_text", full)
        assert checkpoints.save(2, state=make_state(2), host=HOST) is False
    assert "No space left on device" in caplog.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]
    assert checkpoints.save(2, state=make_state(2), host=HOST) and checkpoints.restore(template())[2] == 2


def test_other_errors_while_saving_are_not_hidden(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, keep=2)
    monkeypatch.setattr(checkpoints._manager, "save", lambda *a, **k: (_ for _ in ()).throw(ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        checkpoints.save(1, state=make_state(), host=HOST)


def test_a_program_killed_twenty_times_while_saving_always_goes_on_from_a_whole_checkpoint(tmp_path):
    command = [sys.executable, "-m", "tests.storage.killed_saver", str(tmp_path / "checkpoints")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    starts = [[int(number) for number in line.split()] for line in result.stdout.splitlines()]
    assert len(starts) == 20 and starts[-1][1] >= 20  # it came further every time
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]  # nothing was damaged and set aside
