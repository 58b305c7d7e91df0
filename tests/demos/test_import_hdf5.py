"""Files of V-D4RL and robomimic, written here in their form, and files that point elsewhere."""

import sys

import h5py
import numpy as np
import pytest

from patchail_jax.demos import import_hdf5, trajectory
from patchail_jax.errors import UserError

RNG = np.random.default_rng(0)
LENGTHS = (5, 4, 1, 6)  # observations of each episode; one has no step
SETTINGS = {
    "task": "walker_walk", "action_repeat": 2, "image_size": None, "camera": "", "num_demonstrations": None,
    "memory": 10**8,
}  # fmt: skip
M = sum(LENGTHS)
OBSERVATIONS = RNG.integers(256, size=(M, 3, 8, 8), dtype=np.uint8)
ACTIONS = RNG.uniform(-1, 1, size=(M, 2))
REWARDS = RNG.uniform(size=M)
STEP_TYPES = np.concatenate([[0.0, *[1.0] * (length - 2), *[2.0] * (length > 1)] for length in LENGTHS])


@pytest.fixture
def vd4rl(tmp_path):
    path = tmp_path / "walker_walk_expert.hdf5"
    with h5py.File(path, "w") as file:
        for name, data in (("observation", OBSERVATIONS), ("action", ACTIONS), ("reward", REWARDS)):
            file.create_dataset(name, data=data, compression="gzip")
        file["step_type"] = STEP_TYPES
        file["discount"] = np.ones(M)
    return path


@pytest.fixture
def robomimic(tmp_path):
    path = tmp_path / "image.hdf5"
    with h5py.File(path, "w") as file:
        for number in (0, 2, 10):
            group = file.create_group(f"data/demo_{number}")
            for name in ("agentview", "robot0_eye_in_hand"):
                group[f"obs/{name}_image"] = np.full((4, 8, 8, 3), number, np.uint8)
                group[f"next_obs/{name}_image"] = np.full((4, 8, 8, 3), number + 100, np.uint8)
            group["obs/robot0_joint_pos"] = np.zeros((4, 7))
            group["actions"] = np.full((4, 7), number / 100)
            group["rewards"] = np.array([0.0, 0.0, 0.0, 1.0])
    return path


def read(path, **settings):
    return import_hdf5.read(path, **{**SETTINGS, **settings})


def test_episodes_of_v_d4rl_with_the_action_that_led_to_the_next_observation(vd4rl, tmp_path):
    got = read(vd4rl)
    assert got.lengths.tolist() == [4, 3, 5]
    for d, (start, end) in enumerate([(0, 5), (5, 9), (10, 16)]):
        np.testing.assert_array_equal(got.frames[d, : end - start], OBSERVATIONS[start:end].transpose(0, 2, 3, 1))
        np.testing.assert_allclose(got.actions[d, : end - start - 1], ACTIONS[start + 1 : end], rtol=1e-6)
        np.testing.assert_allclose(got.returns[d], REWARDS[start + 1 : end].sum(), rtol=1e-6)
    trajectory.save(tmp_path / "out.npz", got)
    smaller = read(vd4rl, num_demonstrations=2, image_size=4)
    assert smaller.frames.shape == (2, 5, 4, 4, 3)


def test_demonstrations_of_robomimic_with_their_last_observation(robomimic, tmp_path):
    got = read(robomimic, camera="agentview")
    assert got.frames.shape == (3, 5, 8, 8, 3) and got.actions.shape == (3, 4, 7)
    assert got.frames[:, :, 0, 0, 0].tolist() == [[n, n, n, n, n + 100] for n in (0, 2, 10)]
    np.testing.assert_allclose(got.actions[:, 0, 0], [0.0, 0.02, 0.1])
    assert got.returns.tolist() == [1.0, 1.0, 1.0]
    trajectory.save(tmp_path / "out.npz", got)
    with h5py.File(robomimic, "r+") as file:
        for number in (0, 2, 10):
            del file[f"data/demo_{number}/next_obs"]
    assert read(robomimic, camera="agentview").actions.shape == (3, 3, 7)


def test_the_cameras_are_named_when_none_is_chosen(robomimic):
    with pytest.raises(UserError, match="--camera with one of its cameras: agentview, robot0_eye_in_hand"):
        read(robomimic)


def change(path, how):
    with h5py.File(path, "r+") as file:
        how(file)
    return path


def external_link(file):
    del file["observation"]
    file["observation"] = h5py.ExternalLink("/etc/passwd", "/observation")


def soft_link(file):
    file["elsewhere"] = file["action"]
    del file["action"]
    file["action"] = h5py.SoftLink("/elsewhere")


def virtual(file):
    del file["observation"]
    layout = h5py.VirtualLayout((M, 3, 8, 8), np.uint8)
    layout[:] = h5py.VirtualSource("other.hdf5", "observation", (M, 3, 8, 8))
    file.create_virtual_dataset("observation", layout)


def external(file):
    del file["observation"]
    file.create_dataset("observation", (M, 3, 8, 8), np.uint8, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def replaced(name, data):
    def how(file):
        del file[name]
        if data is not None:
            file[name] = data

    return how


def giant(file):
    del file["observation"], file["step_type"]
    file.create_dataset("observation", (10**9, 3, 84, 84), np.uint8, chunks=(1, 3, 84, 84))  # 20 TB, nothing written
    file["step_type"] = np.array([0.0, *[1.0] * (10**6)])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (external_link, "points elsewhere"),
        (soft_link, "points elsewhere"),
        (virtual, "lies in another file"),
        (external, "lies in another file"),
        (giant, "memory"),
        (replaced("observation", OBSERVATIONS.astype(np.float32)), "pictures in uint8"),
        (replaced("observation", OBSERVATIONS[:, :2]), "pictures in uint8"),
        (replaced("action", 5 * ACTIONS), "must lie in"),
        (replaced("action", ACTIONS[:3]), "to fit the rest"),
        (replaced("step_type", np.ones(M)), "holds no demonstrations"),
        (replaced("step_type", None), "neither"),
    ],
)
def test_what_cannot_be_used_is_one_line(vd4rl, tmp_path, how, said):
    with pytest.raises(UserError, match=said) as caught:
        trajectory.save(tmp_path / "out.npz", read(change(vd4rl, how)))
    assert "\n" not in str(caught.value) and not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize("damage", [lambda b: b[:-2000], lambda b: b[:100], lambda b: b"", lambda b: b"PK" + b[2:]])
def test_damaged_files_are_one_line(vd4rl, damage):
    vd4rl.write_bytes(damage(vd4rl.read_bytes()))
    with pytest.raises(UserError, match="cannot be read") as caught:
        read(vd4rl)
    assert "\n" not in str(caught.value)


def test_more_than_memory_has_room_for(vd4rl):
    with pytest.raises(UserError, match="use --num_demonstrations"):
        read(vd4rl, memory=2500)


def test_without_h5py_the_extra_is_named(monkeypatch, vd4rl):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"patchail_jax\[hdf5\]"):
        read(vd4rl)
