"""Demonstrations that hold frames, or end at different times: on disk, thinned, and as expert pairs."""

import json

import numpy as np
import pytest

from patchail_jax.demos import description, render, trajectory
from patchail_jax.demos.expert_set import ExpertSet, load_expert_set, select
from patchail_jax.demos.form import Demonstration, Trajectories, assemble
from patchail_jax.envs.look import video_look
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError

TASK = {"task": "my_robot", "action_repeat": 2}
VIEW = View(**TASK, image_size=4, quality="fast")


def demonstration(length, seed=0, size=4):
    rng = np.random.default_rng(seed)
    return Demonstration(
        rng.integers(256, size=(length + 1, size, size, 3), dtype=np.uint8),
        rng.uniform(-1, 1, size=(length, 2)).astype(np.float32),
        rng.uniform(size=length).astype(np.float32),
    )


@pytest.fixture
def parts():
    return [demonstration(length, seed) for seed, length in enumerate((6, 3, 4))]


@pytest.fixture
def seen(parts):
    return assemble(parts, TASK, name="these")


def load(path, **settings):
    view = VIEW._replace(**{name: value for name, value in settings.items() if name in View._fields})
    others = {"action_size": 2} | {name: value for name, value in settings.items() if name not in View._fields}
    size = {"action_size": others.pop("action_size")}
    selection = select(view, **{"path": path, "num_demonstrations": 3} | others)
    return load_expert_set(selection, view, cache_dir=path.parent, **size)


def test_frames_and_lengths_come_back_from_disk(tmp_path, seen):
    assert seen.states is None and seen.lengths.tolist() == [6, 3, 4] and seen.frames.shape == (3, 7, 4, 4, 3)
    trajectory.save(tmp_path / "a.npz", seen)
    again = trajectory.load(tmp_path / "a.npz", expected_task="my_robot", action_repeat=2)
    for name in ("frames", "actions", "rewards", "lengths"):
        np.testing.assert_array_equal(getattr(again, name), getattr(seen, name), strict=True)
    assert again.states is None and again.metadata == TASK


def test_lengths_are_left_out_where_all_are_the_same():
    together = assemble([demonstration(5), demonstration(5, 1)], TASK, name="these")
    assert together.lengths is None and together.steps.tolist() == [5, 5]


def test_rewards_that_one_lacks_all_lack_and_actions_it_alone(parts, tmp_path):
    blind = assemble([parts[0], parts[1]._replace(actions=None)], TASK, name="these")
    assert blind.without_actions == [1] and blind.demonstration(1).actions is None and blind.rewards is not None
    np.testing.assert_array_equal(blind.demonstration(0).actions, parts[0].actions)
    trajectory.save(tmp_path / "blind.npz", blind)
    assert trajectory.load(tmp_path / "blind.npz").without_actions == [1]
    some = blind._replace(actions=np.where(np.arange(2) == 0, np.nan, blind.actions).astype(np.float32))
    with pytest.raises(UserError, match="'actions' has values that are not finite"):
        trajectory.save(tmp_path / "some.npz", some)
    none = assemble([part._replace(actions=None) for part in parts], TASK, name="these")
    assert none.actions is None and none.without_actions == list(range(len(parts)))
    mute = assemble([parts[0], parts[1]._replace(rewards=None)], TASK, name="these")
    assert mute.rewards is None and mute.without_actions == []
    with pytest.raises(UserError, match="these: holds no demonstrations"):
        assemble([], TASK, name="these")
    with pytest.raises(UserError, match="these: the demonstrations' frames differ in size"):
        assemble([parts[0], demonstration(3, size=5)], TASK, name="these")


def test_a_file_whose_actions_are_all_unknown_has_none(tmp_path, seen):
    trajectory.save(tmp_path / "a.npz", seen._replace(actions=np.full_like(seen.actions, np.nan)))
    said = "\n".join(description.describe(trajectory.load(tmp_path / "a.npz")))
    assert "actions         none: for methods that imitate from pictures alone" in said


def test_returns_count_nothing_behind_the_end(seen, parts):
    padded = seen._replace(rewards=np.where(seen.rewards == 0, np.float32(99), seen.rewards))
    np.testing.assert_allclose(padded.returns, [part.rewards.sum() for part in parts], rtol=1e-6)


def test_thinning_keeps_whole_steps_of_each_demonstration(seen):
    thinned = trajectory.subsample(seen, 6)
    np.testing.assert_array_equal(thinned.frames, seen.frames[:, [0, 3, 6]])
    assert thinned.lengths.tolist() == [2, 1, 1] and thinned.actions is None
    with pytest.raises(UserError, match="3 steps of 2 frames hold no pair at action repeat 8"):
        trajectory.subsample(seen, 8)


def test_pairs_never_reach_behind_the_end_and_every_pair_is_as_likely(tmp_path, seen, parts):
    trajectory.save(tmp_path / "a.npz", seen)
    expert = load(tmp_path / "a.npz")
    assert expert.steps.tolist() == [6, 3, 4]
    every_frame = expert.frames.reshape(-1, *expert.frames.shape[2:])
    for d, part in enumerate(parts):
        pairs = expert.trajectory(d, frame_stack=1)
        np.testing.assert_array_equal(every_frame[pairs.frames[:, 0]], part.observed[:-1])
        np.testing.assert_array_equal(every_frame[pairs.frames[:, 1]], part.observed[1:])
        np.testing.assert_array_equal(pairs.actions, part.actions)
    drawn = expert.sample(np.random.default_rng(0), 13_000, frame_stack=2)
    every = np.concatenate([part.actions for part in parts])
    counts = (drawn.actions[:, None] == every).all(axis=2).sum(axis=0)
    assert counts.sum() == 13_000 and np.abs(counts - 1000).max() < 160  # 5 standard deviations
    np.testing.assert_allclose(expert.returns, [part.rewards.sum() for part in parts], rtol=1e-6)


def test_pairs_of_equal_demonstrations_are_drawn_as_they_always_were():
    frames = np.arange(2 * 5, dtype=np.uint8).reshape(2, 5, 1, 1, 1).repeat(3, axis=4)
    expert = ExpertSet(frames=frames, actions=None, returns=None, action_size=1)
    chosen = np.random.default_rng(0).integers(2 * 4, size=50)
    pairs = expert.sample(np.random.default_rng(0), 50, frame_stack=1)
    np.testing.assert_array_equal(pairs.frames[:, 0], 5 * (chosen // 4) + chosen % 4)


def test_the_look_is_laid_over_frames_and_over_pictures_of_states(tmp_path, seen, tiny, monkeypatch):
    trajectory.save(tmp_path / "a.npz", seen._replace(metadata={**TASK, "lossy": True}))
    looked = load(tmp_path / "a.npz", look="video")
    for frame, original in zip(looked.frames[0], seen.frames[0], strict=True):
        np.testing.assert_array_equal(frame, video_look(original, 4))
    drawn = []

    def fake(trajectories, view, **rest):
        drawn.append(view.image_size)
        shape = (*trajectories.states.shape[:2], view.image_size, view.image_size, 3)
        return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)

    monkeypatch.setattr(render, "render", fake)
    trajectory.save(tmp_path / "b.npz", tiny)
    states = {"path": tmp_path / "b.npz", "task": "cartpole_swingup", "action_size": 1}
    assert load(**states, look="video", look_size=8).frames.shape == (3, 5, 4, 4, 3)
    load(**states, look_size=8)
    assert drawn == [8, 4]


def test_lossy_frames_without_the_look_are_warned_of(tmp_path, seen, caplog):
    trajectory.save(tmp_path / "a.npz", seen._replace(metadata={**TASK, "lossy": True}))
    load(tmp_path / "a.npz", look="video")
    assert "look" not in caplog.text
    load(tmp_path / "a.npz")
    assert "config.env.look=video" in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_size": 5}, "holds frames of 4 pixels, not 5: convert it again"),
        ({"action_size": 3}, "holds actions of 2 numbers, and my_robot has 3"),
        ({"action_repeat": 3}, "recorded at action repeat 2"),
        ({"action_repeat": 8}, "hold no pair at action repeat 8"),
        ({"num_demonstrations": 4}, r"num_demonstrations must be 1..3, .*not 4"),
        ({"task": "your_robot"}, "holds demonstrations of 'my_robot', not of 'your_robot'"),
        ({"memory": 1000}, "its arrays take 0.0 GiB, and 0.0 GiB of memory are free"),
        ({"look": "film"}, "config.env.look is 'film'"),
    ],
)
def test_an_unfitting_file_is_one_line_that_names_it(tmp_path, seen, settings, said):
    trajectory.save(tmp_path / "mine.npz", seen)
    with pytest.raises(UserError, match=said) as caught:
        load(tmp_path / "mine.npz", **settings)
    assert "\n" not in str(caught.value) and ("mine.npz" in str(caught.value) or "config." in str(caught.value))


def test_states_cannot_be_drawn_by_an_environment_of_one_s_own(tmp_path, tiny):
    trajectory.save(tmp_path / "states.npz", tiny)
    with pytest.raises(UserError, match=r"holds states of the suite, which my:robot cannot draw"):
        load(tmp_path / "states.npz", task="cartpole_swingup", factory="my:robot")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"states": np.zeros((3, 7, 2))}, "either 'states' or 'frames'"),
        ({"frames": None}, "either 'states' or 'frames'"),
        ({"frames": np.zeros((3, 7, 4, 5, 3), np.uint8)}, "square and in colour"),
        ({"frames": np.zeros((3, 7, 4, 4, 1), np.uint8)}, "square and in colour"),
        ({"frames": np.zeros((3, 7, 4, 4, 3), np.float32)}, "must be uint8"),
        ({"frames": np.zeros((3, 6, 4, 4, 3), np.uint8)}, "to fit the rest"),
        ({"lengths": np.array([6, 3, 0])}, "3 numbers from 1 to 6"),
        ({"lengths": np.array([7, 3, 1])}, "3 numbers from 1 to 6"),
        ({"lengths": np.array([6, 3])}, "3 numbers from 1 to 6"),
        ({"lengths": np.array([6.0, 3.0, 1.0])}, "must be int64"),
    ],
)
def test_unsound_frames_and_lengths_are_neither_written_nor_read(tmp_path, seen, change, said):
    unsound: Trajectories = seen._replace(**change)
    with pytest.raises(UserError, match=said):
        trajectory.save(tmp_path / "a.npz", unsound)
    assert not (tmp_path / "a.npz").exists()
    held = {key: value for key, value in unsound._asdict().items() if value is not None and key != "metadata"}
    np.savez(tmp_path / "b.npz", metadata=np.array(json.dumps(TASK)), **held)
    with pytest.raises(UserError, match=rf"b\.npz.*({said}|'states' or 'frames')"):
        trajectory.load(tmp_path / "b.npz")
