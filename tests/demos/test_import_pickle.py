"""The authors' pickles: newest frames, actions at the right steps, and one line for what is not theirs."""

import bz2
import gzip
import lzma
import pickle

import numpy as np
import pytest

from patchail_jax.demos import import_pickle, trajectory, unpickle
from patchail_jax.demos.gathering import Request
from patchail_jax.errors import UserError

ASKED = {"task": "walker_walk", "action_repeat": 2, "memory": 10**8}
N, T, A = 2, 6, 3
RNG = np.random.default_rng(0)
FRAMES = RNG.integers(256, size=(N, T, 3, 8, 8), dtype=np.uint8)
# Stacks of three, oldest first; before the start the first frame is repeated.
STACKS = np.stack(
    [np.concatenate([FRAMES[:, max(t - 2, 0)], FRAMES[:, max(t - 1, 0)], FRAMES[:, t]], axis=1) for t in range(T)],
    axis=1,
)
ACTIONS = RNG.uniform(-1, 1, size=(N, T, A)).astype(np.float32)
REWARDS = RNG.uniform(size=(N, T))
STATES = RNG.normal(size=(N, T, 5))


def read(tmp_path, payload, **settings):
    path = tmp_path / "expert_demos.pkl"
    path.write_bytes(pickle.dumps(payload))
    return import_pickle.read(path, Request(**{**ASKED, **settings}))


def objects(arrays):
    array = np.empty(len(arrays), object)
    array[:] = arrays
    return array


@pytest.mark.parametrize("together", [np.array, objects, list])
@pytest.mark.parametrize("whole", [list, tuple])
def test_frames_actions_and_rewards_of_each_step(tmp_path, together, whole):
    payload = whole(together(list(part)) for part in (STACKS, STATES, ACTIONS, REWARDS))
    got = read(tmp_path, payload)
    assert got.metadata["task"] == "walker_walk" and got.metadata["action_repeat"] == 2 and got.lengths is None
    np.testing.assert_array_equal(got.frames, FRAMES.transpose(0, 1, 3, 4, 2))
    # Action t is taken at observation t; the reward that came with observation t+1 is the one for it.
    np.testing.assert_array_equal(got.actions, ACTIONS[:, :-1])
    np.testing.assert_allclose(got.rewards, REWARDS[:, 1:].astype(np.float32))
    trajectory.save(tmp_path / "out.npz", got)


def test_demonstrations_of_unequal_length(tmp_path):
    lengths = (T, T - 2)
    payload = [[part[d, :length] for d, length in enumerate(lengths)] for part in (STACKS, STATES, ACTIONS, REWARDS)]
    got = read(tmp_path, payload)
    assert got.lengths.tolist() == [T - 1, T - 3]
    np.testing.assert_array_equal(got.frames[1, : T - 2], FRAMES[1, : T - 2].transpose(0, 2, 3, 1))
    np.testing.assert_allclose(got.returns, [REWARDS[0, 1:].sum(), REWARDS[1, 1 : T - 2].sum()], rtol=1e-6)


def test_the_first_demonstrations_at_a_smaller_size(tmp_path):
    got = read(tmp_path, [STACKS, STATES, ACTIONS, REWARDS], num_demonstrations=1, image_size=4)
    assert got.frames.shape == (1, T, 4, 4, 3)
    means = FRAMES[0].reshape(T, 3, 4, 2, 4, 2).mean(axis=(3, 5)).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(got.frames[0], means, atol=1.01)


def notes(trajectories):
    return "\n".join(trajectories.metadata.get("notes", []))


def test_actions_that_are_left_out_may_be_missing(tmp_path):
    got = read(tmp_path, [STACKS, None, None, REWARDS], actions=False)
    assert got.actions is None and got.returns is not None


@pytest.mark.parametrize("odd", [1e300, -np.inf, np.nan])
def test_rewards_that_cannot_be_summed_are_left_out_with_a_word(tmp_path, odd):
    rewards = np.where(np.arange(T) == 1, odd, REWARDS)
    with np.errstate(all="raise"):
        got = read(tmp_path, [STACKS, STATES, ACTIONS, rewards])
    assert got.rewards is None and "rewards that are not finite, or beyond 1e+30, are left out" in notes(got)


def test_rewards_of_whole_episodes_are_left_out_with_a_word(tmp_path):
    got = read(tmp_path, [STACKS, STATES, ACTIONS, REWARDS.sum(axis=1)])
    assert got.rewards is None and got.returns is None and "no reward for each step" in notes(got)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("side", [84, 12, 9])
def test_frames_channels_last_are_pictures_all_the_same(tmp_path, order, side):
    """84 is divisible by 3: these were taken for 28 pictures of 84x9, of which the last became one of 3x3."""
    frames = RNG.integers(256, size=(1, T, 9, side, side), dtype=np.uint8)
    last = np.asarray(frames.transpose(0, 1, 3, 4, 2), order=order)
    if side == 9:
        with pytest.raises(UserError, match="may be channels_first or channels_last: choose one with --layout"):
            read(tmp_path, [last, STATES, ACTIONS[:1], REWARDS[:1]])
        got = read(tmp_path, [last, STATES, ACTIONS[:1], REWARDS[:1]], layout="channels_last")
    else:
        got = read(tmp_path, [last, STATES, ACTIONS[:1], REWARDS[:1]])
    np.testing.assert_array_equal(got.frames[0], frames[0, :, -3:].transpose(0, 2, 3, 1))
    assert "channels_last: the newest of 3 stacked frames is kept" in notes(got)


def test_depth_as_a_fourth_channel(tmp_path):
    frames = RNG.integers(256, size=(2, T, 4, 8, 8), dtype=np.uint8)
    got = read(tmp_path, [frames, STATES, ACTIONS, REWARDS])
    np.testing.assert_array_equal(got.frames, frames[:, :, :3].transpose(0, 1, 3, 4, 2))
    assert "fourth channel" in notes(got)
    stacks = frames[:, [0, 1, 2]].reshape(2, 1, 12, 8, 8).repeat(T, axis=1)
    with pytest.raises(UserError, match="may be channels_first or channels_first_depth: choose one with --layout"):
        read(tmp_path, [stacks, STATES, ACTIONS, REWARDS])
    deep = read(tmp_path, [stacks, STATES, ACTIONS, REWARDS], layout="channels_first_depth")
    np.testing.assert_array_equal(deep.frames[0, 0], stacks[0, 0, 8:11].transpose(1, 2, 0))
    plain = read(tmp_path, [stacks, STATES, ACTIONS, REWARDS], layout="channels_first")
    np.testing.assert_array_equal(plain.frames[0, 0], stacks[0, 0, 9:].transpose(1, 2, 0))
    with pytest.raises(UserError, match="are not channels_last"):
        read(tmp_path, [stacks, STATES, ACTIONS, REWARDS], layout="channels_last")


@pytest.mark.parametrize("bounds", [((-5.0, 5.0),), ((-5.0, 5.0), (-1.0, 1.0), (0.0, 1.0))])
def test_actions_are_brought_to_one(tmp_path, bounds):
    low, high = np.broadcast_to(bounds, (A, 2)).T
    robot = (low + (ACTIONS + 1) / 2 * (high - low)).astype(np.float32)
    got = read(tmp_path, [STACKS, STATES, robot, REWARDS], bounds=bounds)
    np.testing.assert_allclose(got.actions, ACTIONS[:, :-1], atol=1e-5)
    with pytest.raises(UserError, match="actions of size 3, and 2 bounds are given"):
        read(tmp_path, [STACKS, STATES, robot, REWARDS], bounds=bounds[:1] * 2)
    assert read(tmp_path, [STACKS, STATES, 9 * robot, REWARDS], actions=False).actions is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int64])
def test_pictures_in_other_numbers(tmp_path, dtype):
    stacks = (STACKS / 255).astype(dtype) if dtype == np.float32 else STACKS.astype(dtype)
    got = read(tmp_path, [stacks, STATES, ACTIONS, REWARDS])
    np.testing.assert_array_equal(got.frames, FRAMES.transpose(0, 1, 3, 4, 2))
    assert np.dtype(dtype).name in notes(got)


def test_nearly_black_pictures_of_floats_stay_so(tmp_path):
    stacks = (STACKS > 128).astype(np.float32)
    assert read(tmp_path, [stacks, STATES, ACTIONS, REWARDS]).frames.max() == 1


def test_grey_pictures(tmp_path):
    got = read(tmp_path, [STACKS[:, :, :1], STATES, ACTIONS, REWARDS])
    np.testing.assert_array_equal(got.frames, STACKS[:, :, :1].transpose(0, 1, 3, 4, 2).repeat(3, axis=4))
    assert "grey pictures" in notes(got)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_pickles_of_python_2_and_of_every_protocol_of_numpy(tmp_path, protocol, core):
    content = pickle.dumps([STACKS, STATES, ACTIONS, REWARDS], protocol)
    if protocol < 4:  # where names have no length in front
        content = content.replace(b"numpy._core", core)
    (tmp_path / "a.pkl").write_bytes(content)
    np.testing.assert_array_equal(import_pickle.read(tmp_path / "a.pkl", Request(**ASKED)).actions, ACTIONS[:, :-1])


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_copy_as_text_is_said(tmp_path, protocol):
    content = pickle.dumps([STACKS, STATES, ACTIONS, REWARDS], protocol)
    (tmp_path / "a.pkl").write_bytes(content.replace(b"\n", b"\r\n"))
    with pytest.raises(UserError, match="a.pkl: was copied as text, which turned .* into .*: copy it as binary") as got:
        import_pickle.read(tmp_path / "a.pkl", Request(**ASKED))
    assert "\n" not in str(got.value)


def test_a_demonstration_whose_actions_do_not_fit_has_none(tmp_path):
    got = read(tmp_path, [STACKS, STATES, [ACTIONS[0, :3], ACTIONS[1]], REWARDS])
    assert got.without_actions == [0] and "demonstration 0: 3 actions do not fit 6 frames" in notes(got)
    assert read(tmp_path, [STACKS, STATES, ACTIONS[:, :-1], REWARDS]).without_actions == []


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (gzip.compress, "is compressed: unpack it with gunzip first"),
        (bz2.compress, "is compressed: unpack it with bunzip2 first"),
        (lzma.compress, "is compressed: unpack it with unxz first"),
        (lambda content: b"PK\x03\x04" + content, "is a zip archive, such as npz: use patchail demos convert npz"),
        (lambda content: b"\x89HDF\r\n\x1a\n" + content, "is HDF5: use patchail demos convert hdf5"),
    ],
)
def test_files_of_another_kind_are_called_by_it(tmp_path, pack, said):
    (tmp_path / "a.pkl").write_bytes(pack(pickle.dumps([STACKS, STATES, ACTIONS, REWARDS])))
    with pytest.raises(UserError, match=f"a.pkl: {said}"):
        import_pickle.read(tmp_path / "a.pkl", Request(**ASKED))


@pytest.mark.parametrize("actions", [1, 3])
@pytest.mark.parametrize("rewards", [1, 2, 3])
def test_parts_of_other_numbers_of_demonstrations_are_not_paired(tmp_path, actions, rewards):
    payload = [STACKS, STATES, list(ACTIONS[[0, 1, 0][:actions]]), REWARDS[[0, 1, 0][:rewards]]]
    with pytest.raises(UserError, match=f"observations of 2 demonstrations and actions of {actions}: which belong"):
        read(tmp_path, payload)
    if rewards == 2:
        assert read(tmp_path, payload, actions=False).rewards is not None
        return
    with pytest.raises(UserError, match=f"observations of 2 demonstrations and rewards of {rewards}: which belong"):
        read(tmp_path, payload, actions=False)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"observations": STACKS}, "not a list of observations"),
        ([STACKS, STATES, ACTIONS], "not a list of observations"),
        ("text", "not a list"),
        (
            [STACKS.astype(np.float32) - 9, STATES, ACTIONS, REWARDS],
            r"demonstration 0 \(6 observations\): .*, not -9 to",
        ),
        ([STACKS.astype(bool), STATES, ACTIONS, REWARDS], "pictures must be numbers, not bool"),
        ([STACKS.astype(np.int64) * 2, STATES, ACTIONS, REWARDS], "must lie in 0..255 or 0..1, not"),
        ([STACKS[0], STATES, ACTIONS, REWARDS], r"demonstration 0: observations must be pictures \[T,3S,H,W\], not"),
        ([STACKS[:, :1], STATES, ACTIONS, REWARDS], r"must be pictures \[T,3S,H,W\], not uint8\[1, 9, 8, 8\]"),
        ([STACKS[:, :, :5], STATES, ACTIONS, REWARDS], "have no axis of 1, 3 or 4 channels"),
        ([STACKS[:0], STATES, ACTIONS, REWARDS], "holds no demonstrations"),
        ([["a", "b"], STATES, ACTIONS, REWARDS], "observations must be one array"),
        ([STACKS, STATES, (9 * ACTIONS).astype(int), REWARDS], r"rows of floats in \[-1, 1\], not int64\[5, 3\]: use"),
        ([STACKS, STATES, 3 * ACTIONS, REWARDS], r"demonstration 0 .*: actions must lie in .*: use --action_scale"),
        ([STACKS, STATES, np.full_like(ACTIONS, np.nan), REWARDS], "not finite"),
        (
            [[STACKS[0], STACKS[1].repeat(2, axis=2).repeat(2, axis=3)], STATES, ACTIONS, REWARDS],
            "frames differ in size .*: use --image_size$",
        ),
        ([STACKS, STATES, [ACTIONS[0], ACTIONS[1, :, :2]], REWARDS], "actions differ in size .*: use --no_actions$"),
    ],
)
def test_what_is_not_theirs_is_one_line_that_names_the_file(tmp_path, payload, said):
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, payload)
    assert "expert_demos.pkl" in str(caught.value) and "\n" not in str(caught.value)


def test_frames_that_memory_has_no_room_for_are_refused_before_they_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "_OBJECT_BYTES", 0)  # small objects are most of so small a file
    size = len(pickle.dumps([STACKS, STATES, ACTIONS, REWARDS]))
    with pytest.raises(UserError, match="use --num_demonstrations"):
        read(tmp_path, [STACKS, STATES, ACTIONS, REWARDS], memory=size + 1000)


def empty_arrays(count):
    """One array of ``count`` empty ones, in a few bytes."""
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (count, 0), (0, 0))


@pytest.mark.parametrize(
    ("payload", "memory", "said"),
    [
        ([empty_arrays(2**40), STATES, ACTIONS, REWARDS], 10**8, r"pictures \[T,3S,H,W\], not uint8\[0\]"),
        ([STACKS, STATES, list(ACTIONS), empty_arrays(2**40)], 10**8, None),
        # One long array as the actions of many demonstrations: each would be copied.
        ([[STACKS[0]] * 2000, STATES, [np.zeros((T, 9000))] * 2000, [REWARDS[0]] * 2000], 2 * 10**7, "needs 1.6 GiB"),
        # One long demonstration, to whose length many short ones would be filled up.
        (
            [[np.zeros((10**4, 3, 8, 8), np.uint8), *[np.zeros((2, 3, 8, 8), np.uint8)] * 1600], STATES, [], []],
            10**7,
            "needs 2.9 GiB",
        ),
    ],
    ids=["no end of empty arrays", "no end of rewards", "one array many times", "padding"],
)
def test_what_is_small_in_the_file_and_large_in_memory_is_refused(tmp_path, payload, memory, said):
    if said is None:
        assert read(tmp_path, payload, memory=memory).rewards is None
        return
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path, payload, memory=memory)
    assert "\n" not in str(caught.value)
