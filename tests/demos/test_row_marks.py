"""Rows whose marks say nothing, or something odd, of where episodes start and end."""

import h5py
import numpy as np
import pytest

from patchail_jax.demos import import_hdf5, import_rows
from patchail_jax.demos.gathering import Request
from patchail_jax.errors import UserError

ASKED = {"task": "my_robot", "action_repeat": 2, "memory": 10**8}
LENGTH = 6
PICTURES = np.random.default_rng(0).integers(256, size=(LENGTH, 8, 8, 3), dtype=np.uint8)


def write(path, **columns):
    held = {"image": PICTURES, "is_first": np.arange(LENGTH) == 0, "is_last": np.arange(LENGTH) == LENGTH - 1}
    held |= columns
    np.savez(path, **{name: column for name, column in held.items() if column is not None})


def read(folder):
    return import_rows.read_npz([folder], Request(**ASKED))


def notes(trajectories):
    return "\n".join(trajectories.metadata.get("notes", []))


WORDS = np.array(["FIRST", *["MID"] * 4, "LAST"])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"is_first": np.array(["True", *["False"] * 5])}, "is_first must be numbers of 0, 1, not 'True'"),
        ({"is_first": np.array([1, *[np.nan] * 5])}, "is_first must be numbers of 0, 1, not nan"),
        ({"is_first": np.array([2, *[0] * 5])}, "is_first must be numbers of 0, 1, not 2"),
        ({"is_last": np.array([*["no"] * 5, "yes"])}, "is_last must be numbers of 0, 1, not 'no'"),
        ({"is_terminal": np.full(LENGTH, 0.5)}, "is_terminal must be numbers of 0, 1, not 0.5"),
        ({"step_type": WORDS}, "step_type must be numbers of 0, 1, 2, not 'FIRST'"),
        ({"step_type": np.array([0.3, *[1.3] * 4, 2.3])}, "step_type must be numbers of 0, 1, 2, not 0.3"),
        ({"step_type": np.array([0, 1, 1, 1, 2, 3])}, "step_type must be numbers of 0, 1, 2, not 3"),
    ],
)
def test_marks_that_are_no_numbers_of_marks_are_refused_by_name(tmp_path, columns, said):
    write(tmp_path / "a.npz", **columns)
    with pytest.raises(UserError, match=f"a.npz: {said}") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float64])
def test_marks_of_every_kind_of_number_are_read(tmp_path, kind):
    write(tmp_path / "a.npz", is_first=np.eye(LENGTH)[0].astype(kind), is_last=np.eye(LENGTH)[5].astype(kind))
    assert read(tmp_path).steps.tolist() == [LENGTH - 1]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"is_first": np.ones(LENGTH, bool)}, "an episode of one picture, no step, is left out"),
        ({"image": PICTURES[None], "is_first": None, "is_last": None}, "an episode of one picture, no step"),
    ],
)
def test_why_there_is_no_demonstration_is_said(tmp_path, columns, said):
    write(tmp_path / "a.npz", **columns)
    with pytest.raises(UserError, match=rf"holds no demonstrations \(.*{said}") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_rows_behind_an_end_are_not_said_to_be_before_the_first_start(tmp_path):
    write(tmp_path / "a.npz", is_last=None, is_terminal=np.arange(LENGTH) == 3)
    said = notes(read(tmp_path))
    assert "2 rows behind the last step of an episode and before the first of the next are left out" in said
    assert "before the first step of any episode" not in said
    write(tmp_path / "a.npz", is_first=np.arange(LENGTH) == 2)
    said = notes(read(tmp_path))
    assert "2 rows before the first step of any episode are left out" in said and "behind" not in said


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (
            {"image": np.zeros((LENGTH, 16, 16, 3), np.uint8)},
            r"pictures of uint8\[16, 16, 3\], and began with uint8\[8",
        ),
        ({"image": PICTURES / np.float32(255)}, r"pictures of float32\[8, 8, 3\], and began with uint8\[8, 8, 3\]"),
        ({"action": np.zeros((LENGTH, 3))}, r"actions of float64\[3\], and began with float64\[2\]"),
        ({"reward": np.zeros((LENGTH, 1))}, r"rewards of float64\[1\], and began with float64\[\]"),
    ],
)
def test_an_episode_that_goes_on_with_rows_of_another_kind_is_one_line(tmp_path, second, said):
    parts = {"action": np.zeros((LENGTH, 2)), "reward": np.zeros(LENGTH)}
    write(tmp_path / "1.npz", **parts, is_last=np.zeros(LENGTH))
    write(tmp_path / "2.npz", **(parts | second), is_first=np.zeros(LENGTH))
    with pytest.raises(UserError, match=f"the episode of row 0 of 1.npz goes on with {said}") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    write(tmp_path / "2.npz", **parts, is_first=np.zeros(LENGTH))
    assert read(tmp_path).steps.tolist() == [2 * LENGTH - 1]


@pytest.mark.parametrize(
    ("name", "said"),
    [("data", "data is a data set, and a group"), ("data/demo_0/obs", "data/demo_0/obs is a data set, and a group")],
)
def test_a_data_set_in_the_place_of_a_group_is_said(tmp_path, name, said):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file[name] = np.zeros((3, 4))
    with pytest.raises(UserError, match=f"a.hdf5: {said}"):
        import_hdf5.read([tmp_path / "a.hdf5"], Request(**ASKED))


def test_actions_of_no_numbers_are_one_line(tmp_path):
    write(tmp_path / "a.npz", action=np.zeros((LENGTH, 0), np.float32))
    with pytest.raises(UserError, match=r"actions must be rows of floats in \[-1, 1\], not float32\[5, 0\]"):
        read(tmp_path)


def ends(count, *rows):
    return np.isin(np.arange(count), rows)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"is_last": ends(LENGTH, 2, 5)}, "is_last is True in row 2 of 6"),
        ({"is_terminal": ends(LENGTH, 2)}, "is_terminal is True in row 2 of 6"),
        ({"done": ends(LENGTH, 0, 5).astype(float)}, "done is 1.0 in row 0 of 6"),
        ({"dones": ends(LENGTH, 2, 5)[:, None]}, r"dones is \[True\] in row 2 of 6"),
        ({"terminals": ends(LENGTH), "timeouts": ends(LENGTH, 4)}, "timeouts is True in row 4 of 6"),
        ({"discount": 1.0 - ends(LENGTH, 1, 5)}, "discount is 0.0 in row 1 of 6"),
    ],
)
def test_ends_inside_a_file_that_marks_no_starts_are_refused(tmp_path, column, said):
    write(tmp_path / "a.npz", is_first=None, is_last=None, reward=np.ones(LENGTH))
    assert len(read(tmp_path).steps) == 1
    write(tmp_path / "a.npz", **({"is_first": None, "is_last": None} | column))
    with pytest.raises(UserError, match=f"a.npz: {said}, so several episodes may lie in it: add is_first") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    write(tmp_path / "a.npz", **({"is_last": None} | column), is_first=ends(LENGTH, 0, 3))
    assert len(read(tmp_path).steps) >= 1


@pytest.mark.parametrize(
    "column",
    [
        {"done": ends(LENGTH, 5)},
        {"is_last": ends(LENGTH, 5), "is_terminal": ends(LENGTH)},
        {"discount": 1.0 - ends(LENGTH, 0, 5)},
        {"discount": np.array(0.0)},
        {"discount": np.full(LENGTH, np.nan)},
        {"done": np.array(["no"] * LENGTH)},
        {"done": np.zeros(0)},
    ],
)
def test_a_file_that_ends_with_its_last_row_needs_no_marks(tmp_path, column):
    write(tmp_path / "a.npz", **({"is_first": None, "is_last": None} | column))
    assert read(tmp_path).steps.tolist() == [LENGTH - 1]


def test_columns_under_names_that_are_not_read_are_said(tmp_path):
    write(tmp_path / "a.npz", rewards=np.ones(LENGTH), actions=np.zeros((LENGTH, 1)))
    got = read(tmp_path)
    assert got.rewards is None and got.actions is None
    assert "rewards are not read: call them 'reward', where each led to the picture of its row" in notes(got)
    assert "actions are not read: call them 'action'" in notes(got)
    np.savez(tmp_path / "a.npz", obs=PICTURES, done=ends(LENGTH, 2, 5), rewards=np.ones(LENGTH))
    with pytest.raises(UserError, match="call its pictures 'image', their rewards 'reward', and mark in 'is_first'"):
        read(tmp_path)
