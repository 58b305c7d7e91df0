"""Episodes are functions of seed and actions; time, rewards and actions are counted in the right units."""

import numpy as np
import pytest

from patchail_jax.envs.dmc import FrameEnvironment, load
from patchail_jax.envs.rendering import apply_quality, render
from patchail_jax.envs.tasks import PAPER_TASKS, facts
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


@pytest.mark.parametrize("task", ["cheetah_run", "quadruped_run"])
def test_a_restored_environment_goes_on_bit_by_bit(task):
    environment = make(task)
    actions = actions_for(environment, 10)
    whole = play(environment, 3, actions)
    restored = make(task)
    restored.reset(99)
    restored.restore(3, actions[:6])
    assert_same(whole[7:], [restored.step(action) for action in actions[6:]])


@pytest.mark.parametrize(("action_repeat", "steps"), [(1, 20), (2, 10), (3, 7), (8, 3)])
def test_an_episode_lasts_its_frames_and_ends_with_discount_one(action_repeat, steps):
    environment = make(action_repeat=action_repeat)
    outcomes = play(environment, 0, np.zeros((steps, 1), np.float32))
    assert [outcome.last for outcome in outcomes] == [False] * steps + [True]
    assert {outcome.discount for outcome in outcomes} == {1.0}


def test_the_frames_of_an_episode_may_exceed_the_suite_s_own_limit():
    environment = make(episode_frames=1010, action_repeat=505)
    environment.reset(0)
    assert not environment.step(np.zeros(1)).last
    assert environment.step(np.zeros(1)).last


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
    sent = []
    inner = environment._environment
    bounds = inner.action_spec()

    class Recorder:
        task, physics, reset = inner.task, inner.physics, inner.reset

        def step(self, action):
            sent.append(action)
            return inner.step(action)

    environment._environment = Recorder()
    environment._low, environment._high = np.array([-3.0]), np.array([5.0])
    environment.reset(0)
    for action in (-1.0, 0.0, 1.0):
        environment.step(np.array([action], np.float32))
    assert bounds.shape == (1,)
    np.testing.assert_allclose(np.ravel(sent)[::2], [-3.0, 1.0, 5.0])


def test_cameras_are_the_paper_s():
    assert {name: facts(name).camera_id for name in PAPER_TASKS if facts(name).camera_id} == {"quadruped_run": 2}
    default, zero = make("quadruped_run"), make("quadruped_run", camera_id=0)
    assert not np.array_equal(default.reset(0).frame, zero.reset(0).frame)
    np.testing.assert_array_equal(default.reset(0).frame, make("quadruped_run", camera_id=2).reset(0).frame)


def test_fast_quality_draws_the_same_scene_without_shadows():
    physics = load("walker_stand", quality="full").physics
    full = render(physics, image_size=48, camera_id=0)
    apply_quality(physics, "fast")
    fast = render(physics, image_size=48, camera_id=0)
    assert not np.array_equal(full, fast)
    assert np.abs(full.astype(int) - fast).mean() < 30


@pytest.mark.parametrize(
    ("name", "near"), [("cheeta_run", "cheetah_run"), ("ball_in_cup_cach", "ball_in_cup_catch"), ("zzz", "for example")]
)
def test_an_unknown_task_is_one_line_with_the_nearest_name(name, near):
    with pytest.raises(UserError, match=near) as error:
        facts(name)
    assert "\n" not in str(error.value)


def test_domains_with_underscores_are_split_right():
    assert facts("ball_in_cup_catch")[:2] == ("ball_in_cup", "catch")


@pytest.mark.parametrize("settings", [{"quality": "best"}, {"action_repeat": 0}, {"episode_frames": 1}])
def test_wrong_settings_are_one_line(settings):
    with pytest.raises(UserError):
        make(**settings)
