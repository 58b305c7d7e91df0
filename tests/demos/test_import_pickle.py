"""The authors' pickles: newest frames, actions at the right steps, and one line for what is not theirs."""

import pickle

import numpy as np
import pytest

from patchail_jax.demos import import_pickle, trajectory, unpickle
from patchail_jax.errors import UserError

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
    chosen = {
        "task": "walker_walk",
        "action_repeat": 2,
        "image_size": None,
        "num_demonstrations": None,
        "memory": 10**8,
    }
    return import_pickle.read(path, **{**chosen, **settings})


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


def test_rewards_of_whole_episodes_are_left_out_with_a_word(tmp_path, caplog):
    got = read(tmp_path, [STACKS, STATES, ACTIONS, REWARDS.sum(axis=1)])
    assert got.rewards is None and got.returns is None and "no reward for each step" in caplog.text


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"observations": STACKS}, "not a list of observations"),
        ([STACKS, STATES, ACTIONS], "not a list of observations"),
        ("text", "not a list"),
        ([STACKS.astype(np.float32), STATES, ACTIONS, REWARDS], r"\[T,3S,H,W\] uint8, not float32"),
        ([STACKS.transpose(0, 1, 3, 4, 2), STATES, ACTIONS, REWARDS], r"uint8, not uint8\[6, 8, 8, 9\]"),
        ([STACKS[0], STATES, ACTIONS, REWARDS], "uint8, not"),
        ([STACKS[:, :1], STATES, ACTIONS, REWARDS], "uint8, not"),
        ([STACKS[:0], STATES, ACTIONS, REWARDS], "holds no demonstrations"),
        ([["a", "b"], STATES, ACTIONS, REWARDS], "observations must be one array"),
        ([STACKS, STATES, ACTIONS[:, :-1], REWARDS], r"6 observations and actions \[5, 3\]"),
        ([STACKS, STATES, ACTIONS[:1], REWARDS], r"demonstration 1 has 6 observations and actions"),
        ([STACKS, STATES, 3 * ACTIONS, REWARDS], "must lie in"),
        ([STACKS, STATES, np.full_like(ACTIONS, np.nan), REWARDS], "must lie in"),
        ([[STACKS[0], STACKS[1, :, :, :6, :6]], STATES, ACTIONS, REWARDS], "differ in size"),
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
        ([empty_arrays(2**40), STATES, ACTIONS, REWARDS], 10**8, r"uint8, not uint8\[0\]"),
        ([STACKS, STATES, list(ACTIONS), empty_arrays(2**40)], 10**8, None),
        # One long array as the actions of many demonstrations: each would be copied.
        ([[STACKS[0]] * 2000, STATES, [np.zeros((T, 9000))] * 2000, REWARDS], 2 * 10**7, "needs 1.6 GiB"),
        # One long demonstration, to whose length many short ones would be filled up.
        (
            [[np.zeros((10**5, 3, 1, 1), np.uint8), *[np.zeros((2, 3, 1, 1), np.uint8)] * 10**4], STATES, [], []],
            10**7,
            "needs 2.8 GiB",
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
