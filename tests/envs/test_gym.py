"""Gymnasium's environments, by one written here: pictures, ends, seeds, and one line for discrete actions."""

import sys

import gymnasium
import numpy as np
import pytest

from patchail_jax.envs import gym
from patchail_jax.envs.factory import FactoryEnvironment
from patchail_jax.errors import UserError


class Lamp(gymnasium.Env):
    """As bright as the sum of its actions; too bright terminates, five steps are over with time."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - Gymnasium's form
    observation_space = gymnasium.spaces.Box(0, 1, (1,))

    def __init__(self, render_mode=None, *, discrete=False):
        box = gymnasium.spaces.Box(np.float32([0, 0]), np.float32([10, 20]))
        self.action_space = gymnasium.spaces.Discrete(2) if discrete else box
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.light = int(self.np_random.integers(100))
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.light += float(action.sum())
        return np.zeros(1, np.float32), self.light, self.light > 120, False, {}

    def render(self):
        return np.full((30, 40, 3), int(self.light), np.uint8)


gymnasium.register("Lamp-v0", entry_point=Lamp, max_episode_steps=5)
gymnasium.register("LampSwitch-v0", entry_point=Lamp, kwargs={"discrete": True})
SETTINGS = {"factory": "patchail_jax.envs.gym:make", "action_repeat": 1, "image_size": 16, "episode_frames": 100}


def test_pictures_rewards_and_ends():
    environment = FactoryEnvironment(task="Lamp-v0", **SETTINGS)
    first = environment.reset(3)
    start = int(np.random.default_rng(3).integers(100))
    assert first.frame.shape == (16, 16, 3) and (first.frame == start).all()
    dim = [environment.step(np.array([-1.0, -1.0])) for _ in range(5)]
    assert [(outcome.reward, outcome.discount) for outcome in dim] == [(float(start), 1.0)] * 5
    assert [outcome.last for outcome in dim] == [False] * 4 + [True]
    environment.reset(3)
    bright = [environment.step(np.array([1.0, 1.0])) for _ in range(-(-(121 - start) // 30))]
    assert (bright[-1].discount, bright[-1].last) == (0.0, True) and bright[0].reward == start + 30
    environment.close()


def test_a_seed_starts_the_same_episode():
    environment = FactoryEnvironment(task="Lamp-v0", **SETTINGS)
    starts = [int(environment.reset(seed).frame[0, 0, 0]) for seed in (1, 2, 1)]
    assert starts[0] == starts[2] != starts[1]


@pytest.mark.parametrize(
    ("task", "message"),
    [("LampSwitch-v0", "the kind Discrete: choose a task"), ("NoSuchLamp-v3", "Gymnasium cannot make 'NoSuchLamp")],
)
def test_what_cannot_be_learnt_is_one_line(task, message):
    with pytest.raises(UserError, match=message) as error:
        FactoryEnvironment(task=task, **SETTINGS)
    assert "\n" not in str(error.value)


def test_a_package_that_drawing_lacks_is_named(monkeypatch):
    def render(self):
        raise gymnasium.error.DependencyNotInstalled("pygame is not installed")

    monkeypatch.setattr(Lamp, "render", render)
    with pytest.raises(UserError, match="cannot draw: pygame is not installed"):
        FactoryEnvironment(task="Lamp-v0", **SETTINGS).reset(0)


def test_without_gymnasium_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(UserError, match=r"pip install .\.\[gymnasium\]"):
        gym.make(task="Lamp-v0", image_size=16)


def test_the_specification_of_the_pictures_is_theirs():
    environment = gym.make(task="Lamp-v0", image_size=16)
    assert environment.observation_spec().shape == (30, 40, 3)
    environment.seed(0)
    assert environment.observation_spec().validate(environment.reset().observation) is not None
