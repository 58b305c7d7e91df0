"""An environment of one's own: its frames, its bounds, its ends and its seeds, and one line for what does not fit."""

import functools
import logging

import dm_env
import numpy as np
import pytest

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.environment import make
from patchail_jax.envs.factory import FactoryEnvironment
from patchail_jax.envs.look import VideoLook
from patchail_jax.envs.outcome import Reset, Step
from patchail_jax.envs.view import View
from patchail_jax.envs.workers import ProcessPool
from patchail_jax.errors import UserError
from tests.envs.fakes import Corridor

SETTINGS = {"task": "corridor", "action_repeat": 1, "image_size": 16, "episode_frames": 100}


def corridor(**settings):
    return FactoryEnvironment(**{"factory": "tests.envs.fakes:corridor", **SETTINGS, **settings})


def play(environment, seed, actions):
    return [environment.reset(seed), *(environment.step(np.array([action])) for action in actions)]


def test_frames_and_rewards_are_those_of_the_environment_and_actions_reach_its_bounds():
    outcomes = play(corridor(), 0, [-1, 0, 1])
    bare = Corridor()
    expected = [bare.reset(), *(bare.step(np.array([action])) for action in (-2.0, 1.0, 4.0))]
    for outcome, step in zip(outcomes, expected, strict=True):
        np.testing.assert_array_equal(outcome.frame, step.observation["pixels"])
    assert [outcome.reward for outcome in outcomes] == [0.0, 0.0, 1.0, 5.0]
    assert corridor().renderer is None  # its own affair


def test_the_action_repeat_sums_rewards_and_stops_at_a_termination():
    outcomes = play(corridor(action_repeat=2), 0, [1, 1])
    assert [outcome[1:] for outcome in outcomes[1:]] == [(4.0 + 8.0, 1.0, False), (10.0, 0.0, True)]


def test_a_termination_has_discount_zero_and_time_that_is_up_has_one():
    ends = play(corridor(), 0, [1, 1, 1])[-1], play(corridor(), 0, [-1] * 12)[-1]
    assert [(end.discount, end.last) for end in ends] == [(0.0, True), (1.0, True)]
    assert [outcome.last for outcome in play(corridor(episode_frames=3), 0, [-1] * 3)] == [False, False, False, True]


def test_an_episode_is_a_function_of_its_seed_and_actions_and_can_be_restored():
    environment = corridor()
    first, other = play(environment, 1, [0, 0.5, 0]), play(environment, 2, [0, 0.5, 0])
    again = play(environment, 1, [0, 0.5, 0])
    assert all(np.array_equal(a.frame, b.frame) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].frame, other[0].frame)
    environment.restore(1, np.array([[0.0], [0.5]], np.float32))
    np.testing.assert_array_equal(environment.step(np.array([0.0])).frame, first[-1].frame)


def test_frames_are_the_caller_s_to_keep_and_bare_arrays_will_do():
    first, second = play(corridor(task="plain"), 0, [1])
    assert not np.array_equal(first.frame, second.frame)


def test_larger_frames_are_cut_to_their_middle_and_reduced():
    wide = corridor(task="wide").reset(0).frame
    assert wide.shape == (16, 16, 3)
    np.testing.assert_array_equal(wide[:8], 40)  # the corridor's upper half is dark


def test_without_a_seed_method_dm_control_s_generator_is_used_or_the_user_is_told(monkeypatch, caplog):
    monkeypatch.delattr(Corridor, "seed")
    with caplog.at_level(logging.WARNING):
        corridor().reset(1)
    assert "no method seed" in caplog.text
    generator = np.random.RandomState(0)
    monkeypatch.setattr(Corridor, "task", type("Task", (), {"random": generator}), raising=False)
    corridor().reset(5)
    assert generator.randint(1000) == np.random.RandomState(5).randint(1000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "discrete"}, "discrete has discrete actions; only continuous"),
        ({"task": "integers"}, "integers has discrete actions"),
        ({"task": "endless"}, "actions without bounds"),
        ({"task": "unbounded"}, "with bounds"),
        ({"task": "matrix"}, "with bounds"),
        ({"task": "floats"}, r"uint8.*not float32\[16, 16, 3\]"),
        ({"task": "grey"}, r"uint8.*not uint8\[16, 16\]"),
        ({"task": "blind"}, "not NoneType"),
        ({"task": "small"}, "frames of 5x5 pixels are too small"),
        ({"factory": "tests.envs.fakes"}, "write module:function"),
        ({"factory": "no.such.module:make"}, "No module named 'no'"),
        ({"factory": ".relative:make"}, "is '.relative:make'; write module:function"),
        ({"factory": "tests.envs.fakes.deeper:make"}, "No module named 'tests.envs.fakes.deeper'.*on PYTHONPATH"),
        ({"factory": "tests.envs.fakes:none"}, "no none in tests.envs.fakes"),
        ({"factory": "tests.envs.fakes:not_a_function"}, "not a function"),
        ({"factory": "tests.envs.fakes:nothing"}, "gives list, not a dm_env.Environment"),
        ({"factory": "tests.envs.fakes:without_camera"}, r"fakes:without_camera failed \(ValueError: no camera 3\)"),
        (
            {"factory": "tests.envs.fakes:unasked"},
            r"is called as unasked\(task='corridor', image_size=16\), and does not",
        ),
        ({"action_repeat": 101}, "does not fit"),
    ],
)
def test_what_does_not_fit_is_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        corridor(**settings).reset(0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("unrewarded", "unrewarded: step.. gave the reward None; it must be a finite number, 0 where"),
        ("lost", "gave the reward nan; it must be a finite number"),
        ("several", "gave the reward array"),
        ("undiscounted", "gave the discount None; it must be a finite number, 1 where nothing ends"),
        ("silent", "step.. gave NoneType; it must give a dm_env.TimeStep"),
        ("growing", "the image was 16x16 pixels large and is 32x16; it must stay the same"),
    ],
)
def test_a_step_that_is_not_of_the_form_is_one_line(task, message):
    environment = corridor(task=task)
    environment.reset(0)
    with pytest.raises(UserError, match=message) as error:
        environment.step(np.zeros(1))
    assert "\n" not in str(error.value)


VIEW = View("corridor", 1, image_size=16, quality="fast", factory="tests.envs.fakes:corridor")


def test_the_config_s_fields_choose_the_environment():
    assert type(make(VIEW, episode_frames=100)) is FactoryEnvironment
    assert type(make(VIEW._replace(task="cartpole_balance", factory=""), episode_frames=100)) is FrameEnvironment
    looking = make(VIEW._replace(look="video", look_size=32), episode_frames=100)
    assert type(looking) is VideoLook and looking.reset(0).frame.shape == (16, 16, 3)


def test_it_runs_in_worker_processes():
    with ProcessPool(functools.partial(make, VIEW, episode_frames=100), 1) as pool:
        pool.send({0: Reset(1)})
        expected = corridor().reset(1).frame
        np.testing.assert_array_equal(pool.receive()[0].frame, expected)
        pool.send({0: Step(np.array([1.0], np.float32))})
        assert pool.receive()[0].reward == 5.0


def test_rounding_leads_no_action_out_of_the_bounds():
    low, high = -0.1, 0.3
    assert low + (1.0 + 1.0) / 2.0 * (high - low) > high  # the action 1, scaled
    played = []
    environment = corridor(task="narrow")
    environment.reset(0)
    environment._environment.step = lambda action: played.append(action) or dm_env.termination(0.0, {})
    for action in (-1.0, 0.0, 1.0):
        environment.step(np.array([action]))
    np.testing.assert_allclose(np.concatenate(played), [low, 0.1, high])
    assert low <= min(played) and max(played) <= high


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import numpy as np\nx = np.float_old", "AttributeError: module 'numpy' has no attribute 'float_old'"),
        ("def make(:", "SyntaxError: "),
        ("import sys\nsys.exit(0)", "SystemExit: 0"),
        ("from numpy import nothing_here", "ImportError: cannot import name 'nothing_here'"),
        ("import no_such_driver", "ModuleNotFoundError: No module named 'no_such_driver'"),
        ("raise ValueError('no\\ncamera')", "ValueError: no camera"),
    ],
)
def test_a_module_that_fails_on_import_is_one_line_with_its_reason(tmp_path, monkeypatch, caplog, content, reason):
    (tmp_path / "faulty_robot.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError) as caught:
        corridor(factory="faulty_robot:make")
    line = str(caught.value)
    assert line.startswith("env.factory faulty_robot:make: faulty_robot cannot be imported (") and reason in line
    assert "\n" not in line and "PYTHONPATH" not in line and "Traceback" in caplog.text


def test_a_module_s_own_user_error_stays_what_it_is(tmp_path, monkeypatch):
    (tmp_path / "asking_robot.py").write_text(
        "from patchail_jax.errors import UserError\nraise UserError('plug it in')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="^plug it in$"):
        corridor(factory="asking_robot:make")
