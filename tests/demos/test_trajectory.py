"""Good files load as they were written; every kind of bad file gives one line that names it."""

import json
import re
import stat
import zipfile

import numpy as np
import pytest

from patchail_jax.demos import trajectory
from patchail_jax.errors import UserError

# Mean and standard deviation over the ten episodes, from the README that came with the files.
SHIPPED_RETURNS = {
    "cartpole_swingup": ("847.1", "0.3"),
    "cheetah_run": ("754.3", "7.9"),
    "finger_spin": ("977.9", "8.1"),
    "hopper_stand": ("910.7", "20.9"),
    "walker_stand": ("980.0", "6.1"),
    "walker_walk": ("959.8", "14.4"),
    "quadruped_run": ("765.3", "27.9"),
}


class Touching:
    """Leaves a mark when unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def refusal(path, **arguments) -> str:
    """The message with which ``load`` refuses ``path``, after checking that it is one line naming the file."""
    with pytest.raises(UserError) as caught:
        trajectory.load(path, **arguments)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def write(path, tiny, **replaced):
    """``tiny`` written without any check, some arrays replaced, or left out where the replacement is None."""
    arrays = {**tiny._asdict(), "metadata": np.array(json.dumps(tiny.metadata)), **replaced}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.mark.parametrize("task", SHIPPED_RETURNS)
def test_shipped_files_load_with_the_published_returns(task):
    loaded = trajectory.load(trajectory.shipped(task), expected_task=task, action_repeat=2)
    assert loaded.states.shape[:2] == (10, 501) and loaded.actions.shape[:2] == (10, 500)
    returns = loaded.rewards.sum(axis=1, dtype=np.float64)
    assert (f"{returns.mean():.1f}", f"{returns.std():.1f}") == SHIPPED_RETURNS[task]


def test_no_other_file_is_shipped():
    folder = trajectory.shipped("cheetah_run").parent
    assert {file.stem for file in folder.glob("*.npz")} == set(SHIPPED_RETURNS)


def test_unshipped_task_lists_the_shipped_ones():
    with pytest.raises(UserError) as caught:
        trajectory.shipped("humanoid_run")
    assert "humanoid_run" in str(caught.value) and all(task in str(caught.value) for task in SHIPPED_RETURNS)


def test_save_then_load_gives_the_same(tmp_path, tiny):
    path = tmp_path / "new" / "folder" / "a.npz"
    trajectory.save(path, tiny)
    loaded = trajectory.load(path, expected_task="cartpole_swingup", action_repeat=4)
    for key in ("states", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(loaded, key), getattr(tiny, key), strict=True)
    assert loaded.metadata == tiny.metadata
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


def test_actions_and_rewards_may_be_unknown(tmp_path, tiny):
    trajectory.save(tmp_path / "a.npz", tiny._replace(actions=None, rewards=None))
    loaded = trajectory.load(tmp_path / "a.npz")
    assert loaded.actions is None and loaded.rewards is None


def test_failed_save_keeps_the_old_file_and_leaves_no_litter(tmp_path, tiny, monkeypatch):
    path = tmp_path / "a.npz"
    trajectory.save(path, tiny)
    before = path.read_bytes()

    def disk_full(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", disk_full)
    with pytest.raises(UserError, match="No space left"):
        trajectory.save(path, tiny._replace(rewards=None))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_saved_file_has_ordinary_permissions(tmp_path, tiny):
    trajectory.save(tmp_path / "a.npz", tiny)
    (tmp_path / "ordinary").touch()
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_save_refuses_what_load_would(tmp_path, tiny):
    with pytest.raises(UserError, match=r"a\.npz.*float64"):
        trajectory.save(tmp_path / "a.npz", tiny._replace(states=tiny.states.astype(np.float32)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"states": [[0.0, 1.0]]}, "'states' must be a numpy array, not a list"),
        ({"metadata": {"task": "t", "action_repeat": 2, "gain": np.float32(2)}}, "a value that JSON cannot hold"),
    ],
)
def test_save_says_what_a_file_cannot_hold(tmp_path, tiny, replaced, said):
    with pytest.raises(UserError, match=said):
        trajectory.save(tmp_path / "file.npz", tiny._replace(**replaced))
    assert not list(tmp_path.iterdir())


def test_absent_file_and_folder(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.npz")
    assert "not an ordinary file" in refusal(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, tiny, share):
    path = tmp_path / "short.npz"
    trajectory.save(path, tiny)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "not a complete .npz file" in refusal(path)


def test_not_a_zip(tmp_path, tiny):
    text, single = tmp_path / "text.npz", tmp_path / "single.npz"
    text.write_text("states, actions\n1, 2\n")
    with single.open("wb") as stream:
        np.save(stream, tiny.states)
    assert "not a complete .npz file" in refusal(text)
    assert "not a complete .npz file" in refusal(single)
    behind = tmp_path / "behind.npz"
    behind.write_bytes(b"\x1f\x8b" + trajectory.shipped("cartpole_swingup").read_bytes())
    assert "not a complete .npz file" in refusal(behind)


def test_pickled_objects_are_refused_and_not_run(tmp_path, tiny):
    mark = tmp_path / "was_run"
    objects = np.empty((3, 5, 4), object)
    objects[...] = Touching(mark)
    path = write(tmp_path / "pickle.npz", tiny, states=objects)
    assert "allow_pickle=False" in refusal(path)
    assert not mark.exists()


def test_zip_of_something_else(tmp_path):
    path = tmp_path / "other.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "no array 'states'" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("states.npy", "hello")
    refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("states", "hello")
        archive.writestr("metadata", "hello")
    assert "not a numpy array" in refusal(path)


@pytest.mark.parametrize("compressed", [True, False])
def test_flipped_bytes_never_escape_as_other_errors(tmp_path, tiny, compressed):
    path = tmp_path / "flipped.npz"
    (np.savez_compressed if compressed else np.savez)(
        path, **{**tiny._asdict(), "metadata": np.array(json.dumps(tiny.metadata))}
    )
    sound, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        content = bytearray(sound)
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            trajectory.load(path)
        except UserError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
    assert refused > 100


NOT_FINITE = np.zeros((3, 5, 4))
NOT_FINITE[1, 2, 3] = np.nan
F32 = np.float32


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        ({"states": None}, "no array 'states'"),
        ({"metadata": None}, "no array 'metadata'"),
        ({"states": np.zeros((3, 5), float)}, r"\[D,T\+1,X\]"),
        ({"states": np.zeros((3, 5, 0), float)}, "no empty axis"),
        ({"states": np.zeros((0, 5, 4), float)}, "no empty axis"),
        ({"states": np.zeros((3, 1, 4), float), "actions": None, "rewards": None}, "at least two states"),
        ({"states": np.zeros((3, 5, 4), F32)}, "must be float64, not float32"),
        ({"states": NOT_FINITE}, "'states' has values that are not finite"),
        ({"actions": np.zeros((3, 5, 1), F32)}, r"'actions' must be \[3,4,A\]"),
        ({"actions": np.zeros((2, 4, 1), F32)}, r"'actions' must be \[3,4,A\]"),
        ({"actions": np.zeros((3, 4), F32)}, r"'actions' must be \[D,T,A\]"),
        ({"actions": np.zeros((3, 4, 1), float)}, "must be float32, not float64"),
        ({"actions": np.full((3, 4, 1), np.inf, F32)}, "'actions' has values that are not finite"),
        ({"actions": np.full((3, 4, 1), -1.5, F32)}, r"\[-1, 1\], not up to 1.5"),
        ({"rewards": np.zeros((3, 5), F32)}, r"'rewards' must be \[3,4\]"),
        ({"rewards": np.full((3, 4), np.nan, F32)}, "'rewards' has values that are not finite"),
        ({"metadata": np.array("{")}, "one JSON string"),
        ({"metadata": np.array("[" * 100_000)}, "one JSON string"),
        ({"metadata": np.array(["{}"])}, "one JSON string"),
        ({"metadata": np.array(1.0)}, "one JSON string"),
        ({"metadata": np.array("[]")}, "string 'task'"),
        ({"metadata": np.array('{"action_repeat": 2}')}, "string 'task'"),
        ({"metadata": np.array('{"task": "a_b"}')}, "'action_repeat'.*not None"),
        ({"metadata": np.array('{"task": "a_b", "action_repeat": 0}')}, "'action_repeat'.*not 0"),
        ({"metadata": np.array('{"task": "a_b", "action_repeat": true}')}, "'action_repeat'.*not True"),
        ({"metadata": np.array('{"task": "a_b", "action_repeat": 1.5}')}, "'action_repeat'.*not 1.5"),
    ],
)
def test_unsound_arrays(tmp_path, tiny, replaced, said):
    assert re.search(said, refusal(write(tmp_path / "bad.npz", tiny, **replaced)))


def test_other_task(tmp_path, tiny):
    path = write(tmp_path / "a.npz", tiny)
    message = refusal(path, expected_task="cheetah_run")
    assert "'cartpole_swingup'" in message and "'cheetah_run'" in message


@pytest.mark.parametrize("action_repeat", [1, 3, 0, -2])
def test_action_repeat_that_is_no_multiple(tmp_path, tiny, action_repeat):
    assert "multiple" in refusal(write(tmp_path / "a.npz", tiny), action_repeat=action_repeat)
    with pytest.raises(UserError, match="multiple"):
        trajectory.subsample(tiny, action_repeat)


def test_action_repeat_longer_than_the_episode(tmp_path, tiny):
    assert "no pair" in refusal(write(tmp_path / "a.npz", tiny), action_repeat=10)


def test_subsample_by_one_and_by_two(tiny):
    assert trajectory.subsample(tiny, 2) is tiny
    thinned = trajectory.subsample(tiny, 4)
    np.testing.assert_array_equal(thinned.states, tiny.states[:, [0, 2, 4]])
    np.testing.assert_allclose(thinned.rewards, tiny.rewards[:, [0, 2]] + tiny.rewards[:, [1, 3]])
    assert thinned.actions is None and thinned.rewards.dtype == np.float32
    assert thinned.metadata["action_repeat"] == 4 and tiny.metadata["action_repeat"] == 2


def test_subsample_drops_a_remainder(tiny):
    thinned = trajectory.subsample(tiny, 6)
    np.testing.assert_array_equal(thinned.states, tiny.states[:, [0, 3]])
    np.testing.assert_allclose(thinned.rewards, tiny.rewards[:, :3].sum(axis=1, keepdims=True), rtol=1e-6)
    assert trajectory.subsample(tiny._replace(rewards=None), 6).rewards is None


def test_a_file_in_the_place_of_a_folder_is_not_taken_for_the_output(tmp_path, tiny):
    (tmp_path / "file").write_text("of somebody")
    with pytest.raises(UserError, match="file/o.npz cannot be written"):
        trajectory.save(tmp_path / "file" / "o.npz", tiny, replace=False)
