"""Checkpoints come back bit by bit, or say why not."""

import errno
import logging
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from patchail_jax.errors import UserError
from patchail_jax.storage.checkpoints import Checkpoints


def make_state(scale=1.0):
    params = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3) * scale, "half": jnp.ones(2, jnp.bfloat16) / 3}}
    return {"params": params, "optimizer": optax.adam(1e-3).init(params), "key": jax.random.PRNGKey(7)}


HOST = {
    "progress": {"update": 2**40 + 1, "hours": 0.1 + 0.2},
    "window": {"names": ["a/b", "c"], "values": np.zeros((0, 2), np.float32)},
    "replay": {"frames": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), "head": 5},
}


def template():
    return jax.device_get(make_state(0.0))


def assert_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


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


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path, caplog, damage):
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder, keep=3)
    for step in (1, 2):
        checkpoints.save(step, state=make_state(step), host=HOST)
    for file in [path for path in (folder / "2").rglob("*") if path.is_file()]:
        if damage == "truncate":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        elif file.parent.name != "2":
            file.unlink()
    with caplog.at_level(logging.WARNING):
        state, _, step = Checkpoints(folder, keep=3).restore(template())
    assert step == 1 and "checkpoint 2 is damaged" in caplog.text
    assert_equal(state, jax.device_get(make_state(1)))
    again = Checkpoints(folder, keep=3)
    assert again.save(2, state=make_state(5), host=HOST)
    assert_equal(again.restore(template())[0], jax.device_get(make_state(5)))


@pytest.mark.parametrize("item", ["state", "arrays", "plain"])
def test_a_flipped_bit_is_damage(tmp_path, caplog, item):
    folder = tmp_path / "checkpoints"
    noise = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8)  # incompressible: most of the file
    state, host = {"noise": noise, "key": jax.random.PRNGKey(0)}, {"frames": noise, "count": 123456}
    checkpoints = Checkpoints(folder, keep=3)
    for step in (1, 2):
        checkpoints.save(step, state=state, host=host)
    files = [path for path in (folder / "2" / item).rglob("*") if path.is_file() and "METADATA" not in path.name]
    largest = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    where = data.index(b"123456") if item == "plain" else len(data) // 2
    data[where] ^= 1
    largest.write_bytes(data)
    restored = Checkpoints(folder, keep=3).restore(jax.device_get(state))
    assert restored[2] == 1 and "checkpoint 2 is damaged" in caplog.text
    assert_equal(restored[0], jax.device_get(state))
    assert_equal(restored[1], host)


def test_when_all_are_damaged_the_run_starts_anew(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    Checkpoints(folder, keep=3).save(1, state=make_state(), host=HOST)
    for file in (folder / "1" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    assert Checkpoints(folder, keep=3).restore(template()) is None
    assert "checkpoint 1 is damaged" in caplog.text


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


def test_a_full_disk_keeps_the_older_checkpoint_and_the_run(tmp_path, monkeypatch, caplog):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, state=make_state(1), host=HOST)

    def full(*args, **kwargs):
        (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(checkpoints._manager, "save", full)
        assert checkpoints.save(2, state=make_state(2), host=HOST) is False
    assert "disk is full" in caplog.text
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("2")] == []
    assert checkpoints.restore(template())[2] == 1
    assert checkpoints.save(3, state=make_state(3), host=HOST)


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
    assert "disk is full" in caplog.text
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
