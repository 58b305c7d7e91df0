"""Recorded episodes are the ones that were played: their states draw the same frames, and none is left out."""

import numpy as np

from patchail_jax.acting.collect import episode_seed
from patchail_jax.acting.record import record
from patchail_jax.demos import render, trajectory
from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.factory import FactoryEnvironment
from patchail_jax.envs.view import View
from patchail_jax.types import Specs

SUITE = {"task": "cartpole_swingup", "action_repeat": 4, "image_size": 16, "quality": "fast", "episode_frames": 20}


def recorded(environment, act, episodes=2):
    told = []
    got = record(
        environment, act, episodes=episodes, specs=Specs(16, 2, 1, 3), root=(5, 3),
        metadata={"task": "cartpole_swingup", "action_repeat": 4}, report=lambda *words: told.append(words),
    )  # fmt: skip
    return got, told


def dimmest(observations):
    """A policy that looks at what it is shown."""
    return np.sin(observations.astype(np.float64).sum(axis=(1, 2, 3)) / 100)[:, None] * 2


def test_states_of_a_suite_task_draw_the_frames_that_were_seen(tmp_path):
    got, told = recorded(FrameEnvironment(**SUITE), dimmest)
    trajectory.save(tmp_path / "a.npz", got)
    assert got.frames is None and got.states.shape == (2, 6, 4) and got.actions.shape == (2, 5, 1)
    assert np.abs(got.actions).max() <= 1 and len(np.unique(got.actions)) > 3
    view = View("cartpole_swingup", SUITE["action_repeat"], image_size=16, quality="fast")
    frames = render.render(got, view, cache_dir=tmp_path)
    again = FrameEnvironment(**SUITE)
    for number in range(2):
        played = [again.reset(episode_seed((5, 3), number))]
        played += [again.step(action) for action in got.actions[number]]
        np.testing.assert_array_equal(frames[number], [outcome.frame for outcome in played])
        np.testing.assert_allclose(got.rewards[number], [outcome.reward for outcome in played[1:]], rtol=1e-6)
        assert told[number] == (number, float(got.rewards[number].sum(dtype=np.float64)))


def test_an_environment_of_one_s_own_gives_frames_and_each_episode_its_length(tmp_path):
    environment = FactoryEnvironment(
        factory="tests.envs.fakes:corridor", task="corridor", action_repeat=1, image_size=16, episode_frames=100
    )
    starts = [episode_seed((5, 3), number) % 3 for number in range(4)]
    got, told = recorded(environment, lambda observations: np.full((len(observations), 1), 0.0), episodes=4)
    trajectory.save(tmp_path / "a.npz", got)
    assert got.states is None and len(set(starts)) > 1
    assert got.steps.tolist() == [10 - start for start in starts]  # one place a step, to the end at 10
    np.testing.assert_allclose(got.returns, [sum(range(start + 1, 11)) for start in starts])
    assert [words[1] for words in told] == got.returns.tolist()
