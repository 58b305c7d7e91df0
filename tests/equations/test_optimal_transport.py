"""Optimal-transport rewards against closed forms."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.equations.optimal_transport import cosine_cost, transport_plan, transport_rewards, unit

plan_of = jax.jit(functools.partial(transport_plan, epsilon=0.1, iterations=100))
rewards_of = jax.jit(functools.partial(transport_rewards, epsilon=0.01, iterations=100))


def test_the_cost_is_one_minus_the_cosine():
    features = unit(jnp.asarray([[3.0, 0.0], [1.0, 1.0]]))
    others = unit(jnp.asarray([[2.0, 0.0], [0.0, 5.0], [-1.0, 0.0]]))
    half = 1 - 0.5**0.5
    np.testing.assert_allclose(cosine_cost(features, others), [[0, 1, 2], [half, half, 2 - half]], atol=1e-6)
    assert np.isfinite(unit(jnp.zeros((1, 2)))).all()


@pytest.mark.parametrize("cost", [0.1, 0.4])
def test_the_plan_of_two_by_two_has_a_closed_form(cost):
    """Uniform masses and symmetric costs: a share 1 / (1 + exp(-cost / epsilon)) of each mass stays where it is."""
    stays = 0.5 / (1 + np.exp(-cost / 0.1))
    expected = [[stays, 0.5 - stays], [0.5 - stays, stays]]
    np.testing.assert_allclose(plan_of(jnp.asarray([[0.0, cost], [cost, 0.0]])), expected, rtol=1e-4)


def test_the_plan_moves_all_mass_evenly():
    cost = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (5, 8)), jnp.float32)
    plan = np.asarray(plan_of(cost))
    assert (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 5, rtol=1e-3)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 8, rtol=1e-3)


def test_identical_trajectories_have_reward_zero_and_others_less():
    features = unit(jnp.asarray(np.random.default_rng(0).normal(size=(12, 40)), jnp.float32))
    # Not in the same order: transport does not know time.
    same = rewards_of(cosine_cost(features, features[::-1]))
    np.testing.assert_allclose(same, 0.0, atol=1e-5)
    other = unit(jnp.asarray(np.random.default_rng(1).normal(size=(12, 40)), jnp.float32))
    assert (np.asarray(rewards_of(cosine_cost(features, other))) < -0.01).all()


def test_a_step_unlike_the_demonstration_is_the_one_that_pays():
    basis = jnp.eye(7)
    demonstration, episode = basis[:6], basis[:6].at[2].set(basis[6])
    rewards = np.asarray(rewards_of(cosine_cost(episode, demonstration)))
    np.testing.assert_allclose(rewards[2], -1 / 6, rtol=1e-2)
    np.testing.assert_allclose(np.delete(rewards, 2), 0.0, atol=1e-3)


def test_what_stands_behind_the_demonstration_s_end_has_no_mass():
    cost = np.random.default_rng(0).uniform(0, 1, (4, 6)).astype(np.float32)
    cost[:, 4:] = 0.0  # as good as it can be, and not there
    np.testing.assert_allclose(plan_of(cost, 4)[:, :4], plan_of(cost[:, :4]), rtol=1e-3)
    assert (np.asarray(plan_of(cost, 4))[:, 4:] == 0).all()


def test_what_stands_behind_the_episode_s_end_has_no_mass_either():
    cost = np.random.default_rng(0).uniform(0, 1, (6, 4)).astype(np.float32)
    cost[4:] = 0.0
    np.testing.assert_allclose(plan_of(cost, 3, 4)[:4, :3], plan_of(cost[:4, :3]), rtol=1e-3)
    assert (np.asarray(plan_of(cost, 3, 4))[4:] == 0).all()
    assert (np.asarray(rewards_of(cost, 3, 4))[4:] == 0).all()


def test_a_plan_of_a_few_iterations_has_no_more_of_them():
    cost = jnp.asarray(np.random.default_rng(0).uniform(0, 1, (5, 8)), jnp.float32)
    plans = [np.asarray(transport_plan(cost, epsilon=0.01, iterations=count)) for count in (1, 5, 9, 10, 11)]
    assert all(np.abs(one - other).max() > 1e-6 for one, other in itertools.pairwise(plans))
