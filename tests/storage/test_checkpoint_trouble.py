"""Trouble with the disk, memory or another process ends a start with one line, and changes nothing."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.storage.checkpoint_arrays import ArrayHandler
from patchail_jax.storage.checkpoint_reading import read_state
from patchail_jax.storage.checkpoints import Checkpoints
from tests.storage.checkpoint import HOST, contents_of, make_state, template, two

# What TensorStore 0.1 says where the operating system fails to open or read a file.
TENSORSTORE = [
    'UNKNOWN: Error reading local file "x": Failed to open: "x": Input/output error [os_error_code=\'5\']',
    "RESOURCE_EXHAUSTED: Error opening \"zarr\" driver: Too many open files [tensorstore_spec='{}']",
    "PERMISSION_DENIED: Error reading local file \"x\": Permission denied [os_error_code='13']",
    "ABORTED: Error reading Byte range [0, 9) of local file \"x\": Stale file handle [os_error_code='116']",
]
MACHINE = [
    *(OSError(number, os.strerror(number)) for number in (errno.EIO, errno.EMFILE, errno.ENOMEM, errno.ESTALE)),
    PermissionError(errno.EACCES, "Permission denied"),
    MemoryError(),
    *map(ValueError, TENSORSTORE),
    ZeroDivisionError("what nobody thought of"),
]


@pytest.mark.parametrize("trouble", MACHINE, ids=str)
def test_trouble_with_the_machine_costs_no_checkpoint(tmp_path, monkeypatch, trouble):
    folder = tmp_path / "checkpoints"
    before = two(folder)

    def fail(*arguments, **options):
        raise trouble

    with monkeypatch.context() as patched:
        patched.setattr(ArrayHandler, "restore", fail)
        with pytest.raises(UserError, match=f"{folder}/2 cannot be read .*nothing was changed. Try again") as error:
            Checkpoints(folder, keep=3).restore(template())
        with pytest.raises(UserError, match=f"{folder}/2 cannot be read"):
            read_state(folder, template())
    assert "\n" not in str(error.value) and (str(trouble)[:20] or "MemoryError") in str(error.value)
    assert contents_of(tmp_path) == before
    assert Checkpoints(folder, keep=3).restore(template())[2] == 2


def test_trouble_that_an_error_was_raised_from_counts(tmp_path, monkeypatch):
    two(tmp_path / "checkpoints")

    def fail(*arguments, **options):
        try:
            raise OSError(errno.EIO, "Input/output error")
        except OSError as error:
            raise ValueError("DATA_LOSS: half a file") from error

    monkeypatch.setattr(ArrayHandler, "restore", fail)
    with pytest.raises(UserError, match="cannot be read"):
        Checkpoints(tmp_path / "checkpoints", keep=3).restore(template())
    assert (tmp_path / "checkpoints" / "2").is_dir()


def test_a_file_that_cannot_be_read_is_not_a_file_that_is_missing(tmp_path, monkeypatch):
    """Orbax asks whether a file exists, and takes every error for a no."""
    folder = tmp_path / "checkpoints"
    before = two(folder)
    original = Path.open

    def broken(path, *arguments, **options):
        if path.name == "metadata" and path.parent.parent.name == "2":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return original(path, *arguments, **options)

    def missing(*arguments, **options):
        raise FileNotFoundError(f"File {folder / '2' / 'plain' / 'metadata'} not found.")

    monkeypatch.setattr(Path, "open", broken)
    monkeypatch.setattr(ArrayHandler, "restore", missing)
    with pytest.raises(UserError, match="2/plain/metadata"):
        Checkpoints(folder, keep=3).restore(template())
    with pytest.raises(UserError, match="2/plain/metadata"):
        read_state(folder, template())
    monkeypatch.undo()
    assert contents_of(tmp_path) == before


def test_trouble_that_passes_while_it_is_looked_into_is_no_damage(tmp_path, monkeypatch, caplog):
    two(tmp_path / "checkpoints")
    original, failures = ArrayHandler.restore, []

    def once(handler, directory, args=None):
        if not failures:
            failures.append(directory)
            raise ValueError("NOT_FOUND: Error reading local file")
        return original(handler, directory, args)

    monkeypatch.setattr(ArrayHandler, "restore", once)
    assert Checkpoints(tmp_path / "checkpoints", keep=3).restore(template())[2] == 2
    assert failures and "damaged" not in caplog.text


def test_a_folder_that_cannot_be_opened_is_one_line(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(UserError, match="cannot be opened") as error:
        Checkpoints(tmp_path / "checkpoints", keep=1)
    assert "\n" not in str(error.value)


def others(*answers):
    """``gather`` of two processes: what this one says and what another says, in order, the same number throughout."""
    said = iter(answers)
    return lambda own: np.stack([own, np.full_like(own, next(said))])


def test_trouble_in_one_process_stops_all(tmp_path, monkeypatch):
    two(tmp_path / "checkpoints")
    before = contents_of(tmp_path)
    with pytest.raises(UserError, match="another process of this run cannot read"):
        Checkpoints(tmp_path / "checkpoints", keep=3).restore(template(), gather=others(-3))
    said = []
    monkeypatch.setattr(ArrayHandler, "restore", lambda *a, **k: (_ for _ in ()).throw(OSError(errno.EIO, "bad")))
    with pytest.raises(UserError, match="2 cannot be read .*bad"):  # said to the others before it is raised here
        Checkpoints(tmp_path / "checkpoints", keep=3).restore(
            template(), gather=lambda own: said.append(int(own)) or own
        )
    assert said == [-3] and contents_of(tmp_path) == before


@pytest.mark.parametrize("answers", [(-2, 1, -1), (-1, 1, 1, -1)])
def test_another_process_without_a_checkpoint_does_not_throw_away_those_of_this_one(tmp_path, answers):
    two(tmp_path / "checkpoints")
    before = contents_of(tmp_path)
    message = r"left that every process of this run can use \(process 0 has 1, 2; process 1 has none\); nothing"
    with pytest.raises(UserError, match=message):
        Checkpoints(tmp_path / "checkpoints", keep=3).restore(template(), gather=others(*answers))
    assert contents_of(tmp_path) == before


@pytest.mark.parametrize("saved", [0, 1])
def test_processes_of_which_one_was_killed_in_its_first_save_begin_anew(tmp_path, saved, caplog):
    """What another says: it never had a checkpoint, or has the first; not both have one; each has no more than one."""
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3, processes=2)
    if saved:
        checkpoints.save(1, state=make_state(1), host=HOST)
    assert checkpoints.restore(template(), gather=others(-1 if saved else 1, 0, 1)) is None
    assert len(list((tmp_path / "checkpoints").iterdir())) == saved
    checkpoints.begin_anew()
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert (tmp_path / "first_checkpoint_1").exists() == bool(saved)
    assert ("and first_checkpoint_1 is kept" in caplog.text) == bool(saved)
    checkpoints.save(1, state=make_state(2), host=HOST)  # other content: nothing is in its way


@pytest.mark.parametrize(("steps", "processes"), [((1, 2, 3), 1), ((1,), 1), ((1, 2, 3), 2), ((1,), 4)])
def test_a_run_that_is_started_with_other_processes_keeps_its_only_checkpoint(tmp_path, steps, processes):
    """Of the run that saved it; the second process of today has none. Each of these was all that there was."""
    before = Checkpoints(tmp_path / "checkpoints", keep=1, processes=processes)
    for step in steps:
        before.save(step, state=make_state(step), host=HOST)
    before.close()
    contents = contents_of(tmp_path)
    today = Checkpoints(tmp_path / "checkpoints", keep=2, processes=2)
    with pytest.raises(UserError, match="nothing was changed"):
        today.restore(template(), gather=others(-1, 0, 1, -1))
    assert contents_of(tmp_path) == contents


@pytest.mark.parametrize("steps", [[1], [1, 2]])
def test_a_run_that_is_started_with_fewer_processes_is_refused_and_left_alone(tmp_path, steps):
    before = Checkpoints(tmp_path / "checkpoints", keep=2, processes=2)
    for step in steps:
        before.save(step, state=make_state(step), host=HOST)
    before.close()
    contents = contents_of(tmp_path)
    with pytest.raises(UserError, match="is of a run of 2 processes, .* and this start has 1: start as many"):
        Checkpoints(tmp_path / "checkpoints", keep=1).restore(template())
    assert contents_of(tmp_path) == contents
    again = Checkpoints(tmp_path / "checkpoints", keep=2, processes=2)
    assert again.restore(template(), gather=others(*[steps[-1], 1]))[2] == steps[-1]


def test_all_processes_go_on_from_the_newest_that_all_have(tmp_path):
    two(tmp_path / "checkpoints")
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
    assert checkpoints.restore(template(), gather=others(1, 1, 1, 1))[2] == 1
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1"]
