"""A damaged checkpoint is set aside, and one that is left never costs the run."""

import logging
import shutil

import jax
import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.storage import checkpoint_reading
from patchail_jax.storage.checkpoint_reading import read_state
from patchail_jax.storage.checkpoints import Checkpoints
from tests.storage.checkpoint import HOST, assert_equal, contents_of, damage, make_state, template, two


@pytest.mark.parametrize("how", ["truncate", "remove"])
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path, caplog, how):
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder, keep=3)
    for step in (1, 2):
        checkpoints.save(step, state=make_state(step), host=HOST)
    for file in [path for path in (folder / "2").rglob("*") if path.is_file()]:
        if how == "truncate":
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


def test_when_all_are_damaged_the_run_does_not_start_anew(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder, keep=3)
    for step in (1, 2):
        checkpoints.save(step, state=make_state(), host=HOST)
        damage(folder / str(step))
    before = contents_of(tmp_path)
    for _ in range(2):  # nor at the second try
        with pytest.raises(UserError, match=r"has no checkpoint left .* set config.run_folder") as error:
            Checkpoints(folder, keep=3).restore(template())
        assert "\n" not in str(error.value)
    assert "checkpoint 1 is damaged" in caplog.text and "checkpoint 2 is damaged" in caplog.text
    assert contents_of(tmp_path) == before


def test_a_run_whose_checkpoints_were_all_set_aside_does_not_start_anew(tmp_path):
    folder = tmp_path / "checkpoints"
    Checkpoints(folder, keep=3).save(1, state=make_state(), host=HOST)
    (folder / "1").rename(tmp_path / "damaged_checkpoint_1")
    with pytest.raises(UserError, match=r"move checkpoints and damaged_checkpoint_\*"):
        Checkpoints(folder, keep=3).restore(template())
    (tmp_path / "damaged_checkpoint_1").rename(tmp_path / "elsewhere")
    assert Checkpoints(folder, keep=3).restore(template()) is None


def test_a_folder_that_holds_only_an_unfinished_checkpoint_never_had_one(tmp_path):
    (tmp_path / "checkpoints" / "1.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    assert Checkpoints(tmp_path / "checkpoints", keep=3).restore(template()) is None


@pytest.mark.parametrize("item", ["state", "arrays", "plain"])
def test_a_part_that_is_missing_is_damage(tmp_path, caplog, item):
    folder = tmp_path / "checkpoints"
    two(folder)
    shutil.rmtree(folder / "2" / item)
    assert Checkpoints(folder, keep=3).restore(template())[2] == 1
    assert "checkpoint 2 is damaged" in caplog.text and (tmp_path / "damaged_checkpoint_2").is_dir()


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"host": 1, "checksums": {}}', b'{"host', b"\xff"])
def test_metadata_of_another_form_is_damage(tmp_path, content):
    folder = tmp_path / "checkpoints"
    two(folder)
    (folder / "2" / "plain" / "metadata").write_bytes(content)
    assert read_state(folder, template())[1] == 1
    assert Checkpoints(folder, keep=3).restore(template())[2] == 1


def test_a_damaged_one_stays_where_the_one_before_does_not_fit(tmp_path):
    folder = tmp_path / "checkpoints"
    two(folder)
    damage(folder / "2")
    before = contents_of(tmp_path)
    wrong = template()
    del wrong["key"]
    with pytest.raises(UserError, match="does not fit the config"):
        Checkpoints(folder, keep=3).restore(wrong)
    assert contents_of(tmp_path) == before


def test_looking_at_a_run_passes_over_damage_and_says_when_there_is_nothing_else(tmp_path, caplog):
    folder = tmp_path / "checkpoints"
    two(folder)
    damage(folder / "2")
    before = contents_of(tmp_path)
    assert read_state(folder, template())[1] == 1 and "checkpoint 2 is damaged" in caplog.text
    with pytest.raises(UserError, match=f"checkpoint in {folder} is damaged"):
        read_state(folder, template(), step=2)
    assert contents_of(tmp_path) == before


def test_a_run_that_goes_on_may_replace_what_is_being_read(tmp_path, monkeypatch, caplog):
    folder = tmp_path / "checkpoints"
    checkpoints, read, state = Checkpoints(folder, keep=1), checkpoint_reading.read_checkpoint, make_state(1)
    checkpoints.save(1, state=state, host=HOST)

    def replaced(manager, step, **options):
        if step == 1:
            checkpoints.save(2, state=state, host=HOST)
        return read(manager, step, **options)

    monkeypatch.setattr(checkpoint_reading, "read_checkpoint", replaced)
    assert read_state(folder, template())[1] == 2 and "damaged" not in caplog.text
