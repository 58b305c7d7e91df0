"""Minari datasets, written by Minari."""

import json
import shutil
import sys
import warnings

import numpy as np
import pytest

from patchail_jax.demos import import_minari, trajectory
from patchail_jax.demos.gathering import Request
from patchail_jax.errors import UserError
from patchail_jax.programs import demos as program

minari = pytest.importorskip("minari")
spaces = pytest.importorskip("gymnasium").spaces
pytest.importorskip("h5py")
from minari.data_collector import EpisodeBuffer  # noqa: E402

LENGTHS = (5, 3)
PICTURE = spaces.Box(0, 255, (16, 16, 3), np.uint8)
ARM = spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32))
ASKED = {"task": "my_robot", "action_repeat": 2, "memory": 10**8}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def write(observe, observations, *, action_space=ARM, act=lambda t: np.array([0.5 * t, 0.25], np.float32)):
        episodes = [
            EpisodeBuffer(
                id=e,
                observations=stacked([observe(np.full((16, 16, 3), 10 * e + t, np.uint8)) for t in range(steps + 1)]),
                actions=[act(t) for t in range(steps)],
                rewards=[float(t) for t in range(steps)],
                terminations=[e == 1 and t == steps - 1 for t in range(steps)],
                truncations=[e == 0 and t == steps - 1 for t in range(steps)],
            )
            for e, steps in enumerate(LENGTHS)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            minari.create_dataset_from_buffers(
                "mine/reach-v0", episodes, action_space=action_space, observation_space=observations
            )
        return "mine/reach-v0"

    return write


def stacked(steps):
    if isinstance(steps[0], dict):
        return {key: stacked([step[key] for step in steps]) for key in steps[0]}
    return list(steps)


def read(dataset_id, *, camera="", **asked):
    return import_minari.read(dataset_id, Request(**{**ASKED, **asked}), camera=camera)


def check(got):
    assert got.lengths.tolist() == list(LENGTHS)
    for d, steps in enumerate(LENGTHS):
        observed, actions, rewards = got.demonstration(d)
        assert np.abs(observed[:, 0, 0, 0].astype(int) - (10 * d + np.arange(steps + 1))).max() <= 1  # JPEG
        np.testing.assert_allclose(actions, [[0.25 * t, -0.5] for t in range(steps)], atol=1e-6)
        assert rewards.tolist() == list(range(steps))


def test_pictures_actions_in_their_bounds_and_terminations(write, tmp_path):
    dataset_id = write(lambda picture: picture, PICTURE)
    got = read(dataset_id)
    check(got)
    said = "\n".join(got.metadata["notes"])
    assert "scaled from the bounds of their space" in said and "1 of 2 episodes end by a termination" in said
    assert got.metadata["lossy"] and got.metadata["video_size"] == 16
    program.main(["convert", "minari", dataset_id, str(tmp_path / "a.npz"), "--task", "my_robot"])
    check(trajectory.load(tmp_path / "a.npz"))


def test_nested_observations(write):
    two = spaces.Dict(
        {"eyes": spaces.Dict({"left": PICTURE, "right": PICTURE}), "arm": spaces.Box(-1, 1, (2,), np.float64)}
    )
    dataset_id = write(lambda picture: {"eyes": {"left": picture, "right": 255 - picture}, "arm": np.zeros(2)}, two)
    with pytest.raises(UserError, match="use --camera with one of its pictures: eyes/left, eyes/right"):
        read(dataset_id)
    check(read(dataset_id, camera="eyes/left"))
    assert read(dataset_id, camera="eyes/right").frames[0, 0].min() >= 254


def test_other_actions_are_left_out_with_a_note(write):
    got = read(write(lambda picture: picture, PICTURE, action_space=spaces.Discrete(4), act=lambda t: t % 4))
    assert got.actions is None and any("are Discrete, not vectors" in note for note in got.metadata["notes"])


def test_what_is_not_there_is_one_line(write, monkeypatch):
    with pytest.raises(
        UserError, match="mine/lost-v0: is not on this machine: fetch it with `minari download mine/lo"
    ) as caught:
        read("mine/lost-v0")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"has no pictures \(arrays of four axes\), but observations"):
        read(write(lambda picture: np.zeros(3), spaces.Box(-1, 1, (3,), np.float64)))
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UserError, match=r"\.\[minari\]"):
        read("mine/reach-v0")


@pytest.mark.parametrize("key", ["action_space", "observation_space", "env_spec", "data_format", "total_episodes"])
@pytest.mark.parametrize("damage", ["absent", "weird"])
def test_metadata_that_are_damaged_are_one_line_that_says_what_is_wrong(write, tmp_path, key, damage):
    write(lambda picture: picture, PICTURE)
    (path,) = tmp_path.rglob("metadata.json")
    told = json.loads(path.read_text())
    told.pop(key, None)
    path.write_text(json.dumps(told | ({} if damage == "absent" else {key: "weird"})))
    try:
        check(read("mine/reach-v0"))
    except UserError as error:
        said = str(error)
        assert (
            "mine/reach-v0: cannot be read (" in said
            and "install the Minari that wrote it" in said
            and "Error: " in said
            and "\n" not in said
        )
    else:
        assert key == "env_spec" or damage == "absent"  # which Minari makes up for


def test_a_dataset_of_another_version_is_not_only_downloaded_again(write, tmp_path):
    write(lambda picture: picture, PICTURE)
    (path,) = tmp_path.rglob("metadata.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"minari_version": "0.1.0"}))
    with pytest.raises(UserError, match=r"generated by Minari 0.1.0.*or install the Minari that wrote it$"):
        read("mine/reach-v0")


def test_stacks_of_grey_frames_are_no_colours(write):
    stack = spaces.Box(0, 255, (4, 16, 16), np.uint8)
    dataset_id = write(lambda picture: (10 + np.arange(4)[:, None, None] + picture[..., 0]).astype(np.uint8), stack)
    with pytest.raises(UserError, match="are stacks of grey frames.* use --layout channels_first_grey"):
        read(dataset_id)


def test_a_dataset_without_its_data_is_one_line(write, tmp_path):
    write(lambda picture: picture, PICTURE)
    (path,) = tmp_path.rglob("metadata.json")
    shutil.rmtree(path.parent)
    with pytest.raises(UserError, match="mine/reach-v0: (is not on this machine|cannot be read)"):
        read("mine/reach-v0")
