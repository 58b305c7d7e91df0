"""From an environment that ends early to the critic's target: nothing comes after a termination, but after time."""

import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.acting.collect import Collector
from patchail_jax.acting.label import label
from patchail_jax.devices.data_parallel import Devices
from patchail_jax.envs.factory import FactoryEnvironment
from patchail_jax.envs.workers import InlinePool
from patchail_jax.equations.td_target import td_target
from patchail_jax.replay.ring import Ring
from patchail_jax.types import Specs
from tests.small import make_method

N, DISCOUNT, AFTERWARDS = 3, 0.9, 1000.0
SPECS = Specs(image_size=24, frame_stack=2, action_size=1, n_step=N)


def corridor():
    return FactoryEnvironment(
        factory="tests.envs.fakes:corridor", task="corridor", action_repeat=1, image_size=24, episode_frames=100
    )


def play(action):
    """An episode with one and the same action: 1 comes to the corridor's end, -1 stays until time is up."""
    collector = Collector(InlinePool(corridor, 1), frame_stack=2, action_size=1, root=(0, 0))
    collector.start()
    while True:
        collector.send(np.full((1, 1), action, np.float32))
        for finished in collector.receive():
            return finished.episode


def naive_targets(rewards, terminated):
    """The n-step target of every step that has one: what comes after the last frame is worth ``AFTERWARDS``."""
    targets = []
    for t in range(len(rewards)):
        ahead = rewards[t : t + N]
        if len(ahead) == N and not (terminated and t + N == len(rewards)):
            beyond = DISCOUNT**N * AFTERWARDS
        elif terminated:
            beyond = 0.0
        else:
            continue
        targets.append(sum(DISCOUNT**i * reward for i, reward in enumerate(ahead)) + beyond)
    return targets


def targets(episode, rewards=None):
    """The targets of all windows of a replay with this episode; ``rewards`` replaces those that replay holds."""
    ring = Ring(capacity=50, specs=SPECS)
    ring.add(episode)
    batch = ring.windows(np.arange(len(ring)))
    batch = batch._replace(frames=ring.frames[batch.frames])
    values = np.full((2, len(batch.rewards)), AFTERWARDS, np.float32)
    rewards = batch.rewards if rewards is None else np.full_like(batch.rewards, rewards)
    return np.asarray(td_target(*map(jnp.asarray, (rewards, batch.discounts, values)), discount=DISCOUNT))


@pytest.mark.parametrize(("action", "terminated", "steps"), [(1.0, True, 3), (0.5, True, 4), (-1.0, False, 12)])
def test_the_critic_s_targets_are_those_of_the_episode(action, terminated, steps):
    episode = play(action)
    assert (len(episode.rewards), episode.discounts[-1] == 0) == (steps, terminated)
    got = targets(label(episode, uses_task_reward=True, score=lambda frames: None))
    np.testing.assert_allclose(got, naive_targets(episode.rewards, terminated), rtol=1e-5)


@pytest.mark.parametrize(("action", "terminated"), [(1.0, True), (-1.0, False)])
def test_rewards_computed_at_each_update_count_no_step_behind_a_termination(action, terminated):
    # The discriminator scores all n steps of a window, those that do not exist included: no target may count them.
    episode = play(action)
    got = targets(episode, rewards=2.0)
    np.testing.assert_allclose(got, naive_targets(np.full(len(episode.rewards), 2.0), terminated), rtol=1e-5)


def brightness(state, frames, demonstrations):
    """Stands in for a discriminator: the change in brightness from s to s', a step at a time; stacks of two."""
    means = jnp.mean(frames.astype(jnp.float32), axis=(1, 2, 3))
    return state, state * (means[2:] - means[1:-1])


@pytest.mark.parametrize("action", [1.0, -1.0, 0.5])
def test_an_episode_that_ended_early_is_labelled_step_by_step(action):
    nothing = make_method()
    method = nothing._replace(init=lambda key, parts: jnp.ones(()), label=brightness)
    devices, episode = Devices(method, SPECS, count=1), play(action)
    state = devices.init(0)
    labelled = label(episode, uses_task_reward=False, score=lambda frames: devices.label(state, frames)[1])
    means = episode.frames.astype(np.float64).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(labelled.rewards, np.diff(means), atol=1e-3)
    np.testing.assert_array_equal(labelled.discounts, episode.discounts)
    assert len(labelled.rewards) == len(episode.actions)
