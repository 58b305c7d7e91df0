"""Files of V-D4RL and robomimic, written here in their form, and files that point elsewhere."""

import fcntl
import sys

import h5py
import numpy as np
import pytest

from patchail_jax.demos import description, import_hdf5, import_rows, trajectory
from patchail_jax.demos.expert_set import select
from patchail_jax.demos.gathering import Request
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError

RNG = np.random.default_rng(0)
LENGTHS = (5, 4, 1, 6)  # observations of each episode; one has no step
ASKED = {"task": "walker_walk", "action_repeat": 2, "memory": 10**8}
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


def read(*paths, camera="", mask="", **settings):
    return import_hdf5.read(paths, Request(**{**ASKED, **settings}), camera=camera, mask=mask)


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
    with pytest.raises(UserError, match="--camera with one of its cameras: agentview_image, robot0_eye_in_hand_image"):
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
    del file["observation"], file["step_type"], file["action"], file["reward"]
    file.create_dataset("observation", (10**9, 3, 84, 84), np.uint8, chunks=(1, 3, 84, 84))  # 20 TB, nothing written
    file.create_dataset("action", (10**9, 2), np.float32, chunks=(1, 2))
    file.create_dataset("step_type", (10**9,), np.float32, chunks=(10**6,))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (external_link, "points elsewhere"),
        (soft_link, "points elsewhere"),
        (virtual, "lies in another file"),
        (external, "lies in another file"),
        (giant, "memory"),
        (
            replaced("observation", OBSERVATIONS[:, :2]),
            r"demonstration 0 \(row 0 of .*\): pictures of \[2, 8, 8\] have",
        ),
        (replaced("observation", OBSERVATIONS.astype(np.float32) - 1), "must lie in 0..255 or 0..1, not -1 to 25"),
        (replaced("observation", OBSERVATIONS.astype(np.float32) * 2), "must lie in 0..255 or 0..1, not"),
        (replaced("observation", OBSERVATIONS[:, 0]), "must have four axes"),
        (replaced("action", 5 * ACTIONS), "must lie in"),
        (
            replaced("action", 5 * ACTIONS),
            r"demonstration 0 \(row 0 of walker_walk_expert.hdf5\): actions .* --action_scale",
        ),
        (replaced("action", (100 * ACTIONS).astype(int)), r"rows of floats in \[-1, 1\], not int64\[4, 2\]: use --no_"),
        (replaced("action", ACTIONS * np.nan), "not finite"),
        (replaced("action", ACTIONS[:3]), "action has 3 rows, and observation has 16"),
        (replaced("reward", np.ones((M, 2))), "rewards must be one number a step"),
        (replaced("step_type", np.ones(M)), "no episode starts in it; its 16 rows continue .* give the whole folder"),
        (replaced("step_type", np.zeros(3)), "marks the starts of 3 rows but has 16 pictures"),
        (replaced("observation", None), "neither"),
        (replaced("observation", 3), "must be a data set of rows"),
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
    with pytest.raises(UserError, match=r"take fewer or smaller ones \(--image_size\)"):
        read(vd4rl, memory=1500)


def test_without_h5py_the_extra_is_named(monkeypatch, vd4rl):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match=r"pip install .\.\[hdf5\]"):
        read(vd4rl)


@pytest.mark.parametrize("extra", [1, 0])
def test_actions_that_do_not_fit_are_missing_for_that_demonstration(robomimic, tmp_path, extra):
    """MimicGen keeps 217 actions with 267 states in one public file: no action becomes a zero that was not there."""
    with h5py.File(robomimic, "r+") as file:
        for name in ("actions", "rewards"):
            few = file[f"data/demo_2/{name}"][: 2 + extra - 1]
            del file[f"data/demo_2/{name}"]
            file[f"data/demo_2/{name}"] = few
    got = read(robomimic, camera="agentview")
    assert got.without_actions == [1] and got.demonstration(1).actions is None and got.rewards is None
    np.testing.assert_allclose(got.actions[2, :, 0], 0.1)
    assert any("demonstration 1: 2 actions do not fit 5 frames" in note for note in got.metadata["notes"]) == extra
    trajectory.save(tmp_path / "out.npz", got)
    held = trajectory.load(tmp_path / "out.npz")
    assert held.without_actions == [1] and "demonstrations without actions: 1" in "\n".join(description.describe(held))
    view = View("walker_walk", 2, image_size=8)
    asked = {"path": tmp_path / "out.npz", "num_demonstrations": 0}
    with pytest.raises(UserError, match="demonstrations 1 have no actions, and the method reads them"):
        select(view, **asked, with_actions=True)
    assert len(select(view, **asked).seen.observed) == 3
    assert select(view, path=tmp_path / "out.npz", num_demonstrations=1, with_actions=True).seen.actions is not None


@pytest.mark.parametrize("count", [4, 3])
def test_as_many_actions_as_frames_or_one_fewer_fit(robomimic, count):
    with h5py.File(robomimic, "r+") as file:
        for number in (0, 2, 10):
            del file[f"data/demo_{number}/next_obs"]
            actions = np.linspace(0, 0.3, 4)[:count, None]
            del file[f"data/demo_{number}/actions"]
            file[f"data/demo_{number}/actions"] = actions
    np.testing.assert_allclose(read(robomimic, camera="agentview").actions[0, :, 0], [0, 0.1, 0.2], rtol=1e-6)


def test_next_obs_without_the_camera_is_as_if_it_were_not_there(robomimic):
    with h5py.File(robomimic, "r+") as file:
        for number in (0, 2, 10):
            del file[f"data/demo_{number}/next_obs/agentview_image"]
    assert read(robomimic, camera="agentview").frames.shape == (3, 4, 8, 8, 3)


def test_a_mask_chooses_demonstrations(robomimic):
    with h5py.File(robomimic, "r+") as file:
        file["mask/better"] = np.array([b"demo_10", b"demo_0"])
        file["mask/wrong"] = np.array([b"demo_7"])
    got = read(robomimic, camera="agentview", mask="better")
    assert got.frames[:, 0, 0, 0, 0].tolist() == [0, 10]
    for mask, said in (("worse", "no mask 'worse'; it has better, wrong"), ("wrong", "lists demo_7, which is not")):
        with pytest.raises(UserError, match=said):
            read(robomimic, camera="agentview", mask=mask)


def test_libero(tmp_path):
    """Pictures under a name of their own, upside down, as many actions as pictures; several files a call."""
    pictures = np.arange(6, dtype=np.uint8)[:, None, None, None] + np.zeros((6, 8, 8, 3), np.uint8)
    pictures[:, :4] += 100
    for part in range(2):
        with h5py.File(tmp_path / f"task_{part}_demo.hdf5", "w") as file:
            group = file.create_group("data/demo_0")
            group["obs/agentview_rgb"], group["obs/eye_in_hand_rgb"] = pictures + part, pictures
            group["obs/ee_pos"], group["actions"] = np.zeros((6, 3)), np.full((6, 7), 0.5)
            group["rewards"], group["dones"] = np.eye(6)[5], np.eye(6)[5]
    got = read(*sorted(tmp_path.iterdir()), camera="agentview_rgb", flip="vertical")
    assert got.frames.shape == (2, 6, 8, 8, 3) and got.actions.shape == (2, 5, 7)
    assert got.frames[1, :, 0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6] and got.frames[1, 0, 7, 0, 0] == 101
    assert got.metadata["flipped"] == "vertical"
    assert (read(tmp_path, camera="agentview_rgb").frames == np.flip(got.frames, 2)).all()
    with pytest.raises(UserError, match="use --camera with one of its cameras: agentview_rgb, eye_in_hand_rgb"):
        read(tmp_path, camera="ee_pos")


def shards(folder, cuts):
    """The rows of the file above, in files that are cut anywhere; 10 comes after 9."""
    folder.mkdir()
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, M], strict=True), start=9):
        with h5py.File(folder / f"{number}_shard.hdf5", "w") as file:
            for name, data in (("observation", OBSERVATIONS), ("action", ACTIONS), ("reward", REWARDS[:, None])):
                file[name] = data[start:end]
            file["step_type"] = STEP_TYPES[start:end]
    (folder / "._9_shard.hdf5").write_bytes(b"")
    return folder


@pytest.mark.parametrize("cuts", [(3,), (5,), (2, 4, 7, 11), (9,), tuple(range(1, M))])
def test_shards_that_are_cut_anywhere_are_one_file(vd4rl, tmp_path, cuts):
    whole, got = read(vd4rl), read(shards(tmp_path / "shards", cuts))
    for wanted, part in zip(whole[:3], got[:3], strict=True):
        assert wanted is part is None or (wanted == part).all()
    np.testing.assert_array_equal(whole.frames, got.frames)
    assert whole.lengths.tolist() == got.lengths.tolist()


def test_a_shard_without_those_before_and_behind_it_says_so(tmp_path):
    folder = shards(tmp_path / "shards", (3, 12))
    got = read(folder / "10_shard.hdf5")
    assert got.frames.shape[:2] == (2, 4) and got.lengths.tolist() == [3, 1]
    said = "\n".join(got.metadata["notes"])
    assert "2 rows before the first step of any episode are left out" in said and "one picture" in said
    assert "ends without a last step" in "\n".join(read(folder / "9_shard.hdf5").metadata["notes"])


def test_floats_of_a_converted_file_and_actions_of_another_convention(vd4rl):
    plain = read(vd4rl)
    change(vd4rl, replaced("observation", OBSERVATIONS / np.float32(255)))
    np.testing.assert_array_equal(read(vd4rl).frames, plain.frames)
    assert any("0..1 are multiplied by 255" in note for note in read(vd4rl).metadata["notes"])
    actions = ACTIONS.copy()
    actions[[4, 8, 15]] = 0
    change(vd4rl, replaced("action", actions))
    assert any("last rows of episodes have actions of zero" in note for note in read(vd4rl).metadata["notes"])


def test_some_in_0_to_1_and_some_in_0_to_255_are_refused(robomimic):
    with h5py.File(robomimic, "r+") as file:
        for number, scale in ((0, 1.0), (2, 1 / 255), (10, 1.0)):
            pictures = RNG.uniform(0, 255, size=(4, 8, 8, 3)) * scale
            del file[f"data/demo_{number}/obs/agentview_image"], file[f"data/demo_{number}/next_obs"]
            file[f"data/demo_{number}/obs/agentview_image"] = pictures
    with pytest.raises(UserError, match=r"\(demo_2\): some pictures have values in 0..1 and others in 0..255"):
        read(robomimic, camera="agentview")


@pytest.mark.parametrize("name", ["image", "observation"])
@pytest.mark.parametrize("marks", ["is_first", "step_type", "none"])
def test_episodes_of_64_pixels_an_npz_each(tmp_path, name, marks):
    for number in (2, 10):
        first, last = np.eye(5)[0].astype(bool), np.eye(5)[4].astype(bool)
        kinds = {"is_first": {"is_first": first, "is_last": last, "is_terminal": last & False}}
        kinds |= {"step_type": {"step_type": 1 + last - first.astype(int)}, "none": {}}
        pictures = np.full((5, 8, 8, 3), number, np.uint8)
        arrays = {name: pictures, "action": np.full((5, 2), 0.1 * np.arange(5)[:, None]), "reward": np.arange(5.0)}
        np.savez(tmp_path / f"episode_{number}.npz", **arrays, **kinds[marks], discount=np.ones(5))
    got = import_rows.read_npz([tmp_path], Request(**ASKED))
    assert got.frames[:, 0, 0, 0, 0].tolist() == [2, 10] and got.lengths is None
    np.testing.assert_allclose(got.actions[0, :, 0], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    assert got.returns.tolist() == [10, 10] and "notes" not in got.metadata


def test_aime(tmp_path):
    with h5py.File(tmp_path / "0.hdf5", "w") as file:
        file["image"], file["pre_action"] = OBSERVATIONS[:5], ACTIONS[:5]
        file["is_first"], file["is_last"] = np.eye(5)[0], np.eye(5)[4]
    np.testing.assert_allclose(read(tmp_path / "0.hdf5").actions[0], ACTIONS[1:5], rtol=1e-6)


def marked(path, **lengths):
    """Five pictures, and marks of as many rows as is said."""
    counts = {"is_first": 5, "is_last": 5, "is_terminal": 5} | lengths
    marks = {name: np.eye(count)[0 if name == "is_first" else -1].astype(bool) for name, count in counts.items()}
    np.savez(path, image=np.zeros((5, 8, 8, 3), np.uint8), **marks)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: np.savez(path, image=np.array([{}], object)), "cannot be read"),
        (lambda path: np.savez(path, frames=np.zeros(3)), "has no 'observation' or 'image', but frames"),
        (
            lambda path: np.savez(path, image=np.zeros((10**4, 64, 64, 3), np.uint8)),
            "its arrays take 0.1 GiB, and .* split the file",
        ),
        (lambda path: np.savez(path, image=np.array(3)), "must be an array of rows"),
        (lambda path: path.write_bytes(b"PK"), "not a complete .npz file"),
        (lambda path: marked(path, is_last=4), "marks starts and ends of 4 rows but has 5 pictures"),
        (lambda path: marked(path, is_terminal=9), "marks starts and ends of 9 rows but has 5 pictures"),
        (lambda path: marked(path, is_last=6, is_terminal=6), "marks starts and ends of 6 rows"),
    ],
)
def test_npz_files_of_another_kind_are_one_line(tmp_path, write, said):
    write(tmp_path / "0.npz")
    with pytest.raises(UserError, match=said) as caught:
        import_rows.read_npz([tmp_path / "0.npz"], Request(**ASKED))
    assert "\n" not in str(caught.value)


def test_a_file_that_another_process_has_locked_is_read(vd4rl):
    with vd4rl.open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert read(vd4rl).frames.shape[0] == 3


def test_one_flipped_bit_in_a_compressed_chunk_is_one_line(vd4rl):
    content = bytearray(vd4rl.read_bytes())
    with h5py.File(vd4rl) as file:
        chunk = file["observation"].id.get_chunk_info(0)
    content[chunk.byte_offset + chunk.size // 2] ^= 16
    vd4rl.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        read(vd4rl)
