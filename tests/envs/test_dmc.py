"""Episodes are functions of seed and actions; time, rewards and actions are counted in the right units."""

from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.errors import UserError


def make(task="cartpole_swingup", **settings):
    return FrameEnvironment(
        **{"task": task, "action_repeat": 2, "image_size": 24, "quality": "fast", "episode_frames": 20, **settings}
    )


def play(environment, seed, actions):
    outcomes = [environment.reset(seed)]
    outcomes += [environment.step(action) for action in actions]
    return outcomes


def actions_for(environment, steps, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (steps, environment.action_size)).astype(np.float32)


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.frame, other.frame)
        assert (one.reward, one.discount, one.last) == (other.reward, other.discount, other.last)


@pytest.mark.parametrize("task", ["cartpole_swingup", "cheetah_run"])
def test_an_episode_is_a_function_of_its_seed_and_actions(task):
    environment = make(task)
    actions = actions_for(environment, 10)
    first = play(environment, 7, actions)
    other = play(environment, 8, actions)
    assert_same(first, play(environment, 7, actions))
    assert_same(first, play(make(task), 7, actions))
    assert any(not np.array_equal(a.frame, b.frame) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("task", ["cartpole_swingup", "cheetah_run", "quadruped_run"])
def test_a_restored_environment_goes_on_bit_by_bit(task):
    environment = make(task)
    actions = actions_for(environment, 10)
    whole = play(environment, 3, actions)
    restored = make(task)
    play(restored, 99, actions[::-1])
    restored.restore(3, actions[:6])
    assert_same(whole[7:], [restored.step(action) for action in actions[6:]])


@pytest.mark.parametrize(("action_repeat", "steps"), [(1, 20), (2, 10), (3, 7), (8, 3)])
def test_an_episode_lasts_its_frames_and_ends_with_discount_one(action_repeat, steps):
    environment = make(action_repeat=action_repeat)
    outcomes = play(environment, 0, np.zeros((steps, 1), np.float32))
    assert [outcome.last for outcome in outcomes] == [False] * steps + [True]
    assert {outcome.discount for outcome in outcomes} == {1.0}


@pytest.mark.parametrize(("settings", "repeat"), [({}, 500), ({"episode_frames": 1010}, 505)])
def test_an_episode_has_a_thousand_frames_or_any_other_number(settings, repeat):
    environment = FrameEnvironment(
        task="cartpole_swingup", action_repeat=repeat, image_size=24, quality="fast", **settings
    )
    environment.reset(0)
    assert [environment.step(np.zeros(1)).last for _ in range(2)] == [False, True]


def test_a_termination_has_discount_zero_and_ends_the_action_repeat():
    environment = make(action_repeat=3)
    inner, calls = environment._environment, []

    class Terminating:
        task, physics, reset = inner.task, inner.physics, inner.reset

        def step(self, action):
            calls.append(action)
            end = len(calls) == 5
            return SimpleNamespace(reward=1.0, discount=0.0 if end else 1.0, last=lambda: end)

    environment._environment = Terminating()
    environment.reset(0)
    outcomes = [environment.step(np.zeros(1)) for _ in range(2)]
    assert [outcome[1:] for outcome in outcomes] == [(3.0, 1.0, False), (2.0, 0.0, True)] and len(calls) == 5


def test_rewards_are_summed_over_the_action_repeat():
    once, twice = make(action_repeat=1), make(action_repeat=2)
    actions = actions_for(once, 4)
    single = play(once, 0, actions.repeat(2, axis=0))[1:]
    double = play(twice, 0, actions)[1:]
    expected = [single[2 * i].reward + single[2 * i + 1].reward for i in range(4)]
    np.testing.assert_allclose([outcome.reward for outcome in double], expected, rtol=1e-12)
    np.testing.assert_array_equal(double[-1].frame, single[-1].frame)


def test_actions_are_scaled_to_the_task_s_bounds():
    environment = make()
    environment._low, environment._high = np.array([-3.0]), np.array([5.0])
    environment.reset(0)
    for action, sent in ((-1.0, -3.0), (0.0, 1.0), (1.0, 5.0)):
        environment.step(np.array([action], np.float32))
        assert environment._environment.physics.control() == [sent]


@pytest.mark.parametrize("task", ["quadruped_run", "lqr_lqr_2_1"])
def test_actions_reach_a_task_s_own_bounds_and_those_without_bounds_stay(task):
    environment = make(task)
    limits = environment._environment.action_spec()
    environment.reset(0)
    for sign, bound in ((-1, limits.minimum), (1, limits.maximum)):
        environment.step(np.full(environment.action_size, sign, np.float32))
        expected = np.where(np.abs(bound) > 1e9, sign, bound)
        np.testing.assert_array_equal(environment._environment.physics.control(), expected)


def test_the_camera_is_the_task_s_own_unless_told():
    default, same, other = (make("quadruped_run", camera_id=camera).reset(0).frame for camera in (None, 2, 0))
    np.testing.assert_array_equal(default, same)
    assert not np.array_equal(default, other)


@pytest.mark.parametrize(
    "settings", [{"quality": "best"}, {"action_repeat": 0}, {"episode_frames": 1}, {"task": "none"}]
)
def test_wrong_settings_are_one_line(settings):
    with pytest.raises(UserError) as error:
        make(**settings)
    assert "\n" not in str(error.value)
