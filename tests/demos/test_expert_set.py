"""Expert pairs against a naive cut, and the way from a file to them."""

import subprocess
import sys

import numpy as np
import pytest

from patchail_jax.demos import render, trajectory
from patchail_jax.demos.expert_set import ExpertSet, load_expert_set, select
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError

D, T, A = 3, 6, 2


def numbered_frames(demonstrations: int, length: int) -> np.ndarray:
    """Frames of 2x2 pixels whose value tells (demonstration, time): 20 d + t."""
    values = 20 * np.arange(demonstrations)[:, None] + np.arange(length)
    return np.broadcast_to(values[:, :, None, None, None], (demonstrations, length, 2, 2, 3)).astype(np.uint8)


@pytest.fixture
def expert() -> ExpertSet:
    actions = np.random.default_rng(1).uniform(-1, 1, size=(D, T, A)).astype(np.float32)
    return ExpertSet(frames=numbered_frames(D, T + 1), actions=actions, returns=None, action_size=A)


def naive_window(d: int, t: int, frame_stack: int) -> list[int]:
    """The values of the stack of s_t, then the newest frame of s_{t+1}, built as an agent would step by step."""
    stack = [20 * d] * frame_stack
    for time in range(1, t + 1):
        stack = [*stack[1:], 20 * d + time]
    return [*stack, 20 * d + t + 1]


def shown(expert, pairs):
    """The pairs with their frames' pixels in the place of their numbers."""
    assert pairs.frames.dtype == np.int32
    return pairs._replace(frames=expert.frames.reshape(-1, *expert.frames.shape[2:])[pairs.frames])


@pytest.mark.parametrize("frame_stack", [1, 3, 4])
def test_all_pairs_of_a_demonstration(expert, frame_stack):
    for d in range(D):
        pairs = shown(expert, expert.trajectory(d, frame_stack=frame_stack))
        assert pairs.frames.shape == (T, frame_stack + 1, 2, 2, 3) and pairs.frames.dtype == np.uint8
        for t in range(T):
            assert pairs.frames[t, :, 0, 0, 0].tolist() == naive_window(d, t, frame_stack)
        np.testing.assert_array_equal(pairs.actions, expert.actions[d], strict=True)


@pytest.mark.parametrize("frame_stack", [1, 3])
def test_sampled_pairs_are_windows_with_their_actions(expert, frame_stack):
    pairs = shown(expert, expert.sample(np.random.default_rng(2), 50, frame_stack=frame_stack))
    assert pairs.frames.shape == (50, frame_stack + 1, 2, 2, 3) and pairs.actions.shape == (50, A)
    for frames, action in zip(pairs.frames, pairs.actions, strict=True):
        d, t = divmod(int(frames[-1, 0, 0, 0]) - 1, 20)
        assert frames[:, 1, 1, 2].tolist() == naive_window(d, t, frame_stack)
        np.testing.assert_array_equal(action, expert.actions[d, t])


def test_sampling_is_uniform_over_all_pairs(expert):
    count = 18_000
    pairs = shown(expert, expert.sample(np.random.default_rng(3), count, frame_stack=1))
    newest = pairs.frames[:, -1, 0, 0, 0]
    every = [20 * d + t + 1 for d in range(D) for t in range(T)]
    drawn = np.array([(newest == value).sum() for value in every])
    assert drawn.sum() == count  # nothing else is drawn
    assert np.abs(drawn - 1000).max() < 160  # 5 standard deviations


def test_states_n_steps_apart_stay_in_their_demonstration_and_are_drawn_evenly(expert):
    lengths = np.asarray([T, 2, T - 1])[:D]  # the second has no two states that are 3 steps apart
    uneven = ExpertSet(frames=expert.frames, actions=expert.actions, returns=None, action_size=A, lengths=lengths)
    pairs = shown(uneven, uneven.sample(np.random.default_rng(6), 6_000, frame_stack=2, apart=3))
    values = pairs.frames[:, :, 0, 0, 0].astype(int)
    d, t = divmod(values[:, 1], 20)
    assert pairs.frames.shape == (6_000, 5, 2, 2, 3) and (values[:, -1] == values[:, 1] + 3).all()
    np.testing.assert_array_equal(values[:, 0], np.where(t == 0, values[:, 1], values[:, 1] - 1))
    assert (t + 3 <= lengths[d]).all() and not (d == 1).any()
    np.testing.assert_array_equal(pairs.actions, expert.actions[d, t])
    _, drawn = np.unique(values[:, 1], return_counts=True)
    starts = int(np.maximum(lengths - 2, 0).sum())
    assert len(drawn) == starts and np.abs(drawn - 6_000 / starts).max() < 5 * np.sqrt(6_000 / starts)


def test_demonstrations_too_short_for_the_pairs_are_refused_in_one_line(load):
    with pytest.raises(UserError, match=r"its longest demonstration has 4 steps .* are 5 apart: lower") as error:
        load(apart=5)
    assert "\n" not in str(error.value)
    assert load(apart=4).frames.shape[1] == 5


def test_how_many_demonstrations_are_too_short_for_the_pairs_is_said(load, tiny, caplog):
    uneven = tiny._replace(lengths=np.array([4, 2, 1]))
    load(recorded=uneven, apart=1)
    assert not caplog.text
    load(recorded=uneven, apart=3)
    assert "2 of 3 demonstrations have fewer than 3 steps at action repeat 2: no pair" in caplog.text
    assert len(caplog.records) == 1


def test_same_generator_same_pairs(expert):
    first, second = (expert.sample(np.random.default_rng(4), 8, frame_stack=3) for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.actions, second.actions)


def test_unknown_actions_are_nan(expert):
    blind = ExpertSet(frames=expert.frames, actions=None, returns=None, action_size=A)
    for pairs in (blind.sample(np.random.default_rng(5), 4, frame_stack=3), blind.trajectory(0, frame_stack=3)):
        assert pairs.actions.shape == (len(pairs.frames), A) and pairs.actions.dtype == np.float32
        assert np.isnan(pairs.actions).all()


@pytest.fixture
def load(tmp_path, tiny, monkeypatch):
    """``load_expert_set`` of a file with ``tiny`` (or what is given for it), with numbered frames for pictures."""

    def fake_render(trajectories, view, **rest):
        demonstrations, length = trajectories.states.shape[:2]
        return numbered_frames(demonstrations, length)

    monkeypatch.setattr(render, "render", fake_render)

    def loading(*, recorded=tiny, num_demonstrations=3, action_repeat=2, task="cartpole_swingup", apart=1):
        trajectory.save(tmp_path / "mine.npz", recorded)
        view = View(task, action_repeat, image_size=2, quality="fast")
        selection = select(view, path=str(tmp_path / "mine.npz"), num_demonstrations=num_demonstrations, apart=apart)
        return load_expert_set(selection, view, cache_dir=tmp_path)

    return loading


def test_first_demonstrations_are_taken(load, tiny):
    expert = load(num_demonstrations=2)
    assert expert.frames.shape == (2, 5, 2, 2, 3) and expert.action_size == 1
    np.testing.assert_array_equal(expert.actions, tiny.actions[:2])
    np.testing.assert_allclose(expert.returns, tiny.rewards[:2].sum(axis=1))


def test_longer_action_repeat_loses_actions_but_no_returns(load, tiny):
    expert = load(action_repeat=6)
    assert expert.frames.shape == (3, 2, 2, 2, 3) and expert.actions is None and expert.action_size == 1
    np.testing.assert_allclose(expert.returns, tiny.rewards.sum(axis=1))


def test_file_without_actions_and_rewards(load, tiny):
    expert = load(recorded=tiny._replace(actions=None, rewards=None))
    assert expert.actions is None and expert.returns is None and expert.action_size == 1


def test_zero_is_all_of_the_file(load):
    assert load(num_demonstrations=0).frames.shape[0] == 3


@pytest.mark.parametrize("count", [-1, 4])
def test_number_of_demonstrations_out_of_range(load, count):
    with pytest.raises(UserError, match=r"mine.npz: holds 3 demonstrations: .* 1..3, .* not") as caught:
        load(num_demonstrations=count)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"task": "cheetah_run"}, {"action_repeat": 3}])
def test_unfitting_file_is_named(load, wrong):
    with pytest.raises(UserError, match=r"mine\.npz"):
        load(**wrong)


def test_shipped_file_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setattr(
        render, "render", lambda trajectories, *_, **rest: numbered_frames(*trajectories.states.shape[:2])
    )
    view = View("walker_walk", 2, image_size=2, quality="fast")
    expert = load_expert_set(select(view, num_demonstrations=10), view, cache_dir=tmp_path)
    assert expert.frames.shape[:2] == (10, 501) and expert.actions.shape == (10, 500, 6)
    assert f"{expert.returns.mean():.1f}" == "959.8"


def test_real_pictures_reach_the_pairs(tmp_path):
    view = View("cartpole_swingup", 200, image_size=16, quality="fast")
    expert = load_expert_set(select(view, num_demonstrations=1), view, cache_dir=tmp_path)
    pairs = shown(expert, expert.trajectory(0, frame_stack=3))
    assert expert.frames.shape == (1, 6, 16, 16, 3) and pairs.frames.shape == (5, 4, 16, 16, 3)
    np.testing.assert_array_equal(pairs.frames[0, 0], expert.frames[0, 0])
    assert not np.array_equal(pairs.frames[4, 3], expert.frames[0, 0])


def test_the_host_side_stays_free_of_jax():
    code = "import sys, patchail_jax.demos.expert_set; sys.exit('jax' in sys.modules or 'dm_control' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_frames_of_a_file_that_are_thinned_lie_together(tmp_path):
    """Else each batch that shows them would copy them all."""
    frames = np.arange(2 * 9, dtype=np.uint8).reshape(2, 9, 1, 1, 1) * np.ones((16, 16, 3), np.uint8)
    held = trajectory.Trajectories(None, None, None, {"task": "mine", "action_repeat": 1}, frames)
    trajectory.save(tmp_path / "mine.npz", held)
    view = View("mine", 2, image_size=16, factory="mine:make")
    found = load_expert_set(
        select(view, path=tmp_path / "mine.npz", num_demonstrations=0), view, cache_dir=tmp_path, action_size=1
    )
    assert found.frames.flags.c_contiguous and found.frames[1, :, 0, 0, 0].tolist() == [9, 11, 13, 15, 17]
