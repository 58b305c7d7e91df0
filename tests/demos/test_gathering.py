"""What imports of every form say of rewards that lead nowhere, of copies, and of files that are not read."""

import h5py
import numpy as np
import pytest

from patchail_jax.demos import import_hdf5, import_rows
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.errors import UserError

REQUEST = Request("my_robot", 2, 10**8)
FRAMES = np.random.default_rng(0).integers(256, size=(3, 5, 8, 8, 3), dtype=np.uint8)


def gathered(*episodes):
    gathering = Gathering(REQUEST, "these")
    for frames, rewards in episodes:
        gathering.add(frames, None, rewards, name="one")
    return gathering.finish("x")


def notes(trajectories):
    return trajectories.metadata.get("notes", [])


@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_a_last_reward_that_has_no_frame_behind_it_is_said_once(shape):
    sparse = np.array([0, 0, 0, 0, 1.0]).reshape(shape)
    got = gathered(*((frames, sparse) for frames in FRAMES))
    assert got.returns.tolist() == [0, 0, 0]
    assert notes(got) == ["the last reward of an episode has no frame behind it and is left out: returns lack it"]


@pytest.mark.parametrize("rewards", [np.array([0, 1.0, 0, 0, 0]), np.ones(4), None, np.full(5, np.nan)])
def test_where_no_reward_is_lost_nothing_is_said(rewards):
    assert not any("last reward" in note for note in notes(gathered((FRAMES[0], rewards))))


def test_robomimic_without_next_pictures_loses_its_last_reward_aloud(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["data/demo_0/obs/front_image"], file["data/demo_0/rewards"] = FRAMES[0], np.eye(5)[4]
    assert any("the last reward" in note for note in notes(import_hdf5.read([tmp_path / "a.hdf5"], REQUEST)))


def test_demonstrations_that_show_the_same_are_listed():
    got = gathered(*((FRAMES[number], None) for number in (0, 1, 0, 2, 2, 0)))
    assert notes(got) == [
        "demonstrations 0, 2, 5 show the same: are they one, which counts more than once?",
        "demonstrations 3, 4 show the same: are they one, which counts more than once?",
    ]
    assert not notes(gathered((FRAMES[0], None), (FRAMES[0][:4], None)))


def test_files_in_folders_below_are_given_too_or_refused(tmp_path):
    below = tmp_path / "more" / "deep"
    below.mkdir(parents=True)
    for number, folder in enumerate((tmp_path, below)):
        np.savez(folder / f"{number}.npz", image=FRAMES[number])
    with pytest.raises(
        UserError, match="more/deep/1.npz lies in a folder of its own, which is not read: give"
    ) as error:
        import_rows.read_npz([tmp_path], REQUEST)
    assert "\n" not in str(error.value)
    assert len(import_rows.read_npz([tmp_path, below], REQUEST).steps) == 2
    below.parent.rename(tmp_path / ".hidden")
    assert len(import_rows.read_npz([tmp_path], REQUEST).steps) == 1
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "readme.txt").write_text("of these files")
    assert len(import_rows.read_npz([tmp_path], REQUEST).steps) == 1
