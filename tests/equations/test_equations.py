"""Each remaining equation against a hand-computed case."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.equations.adversarial_loss import adversarial_loss
from patchail_jax.equations.aggregation import AGGREGATIONS
from patchail_jax.equations.patch_reward import REWARD_FORMS
from patchail_jax.equations.policy import clamp_straight_through, noisy_action, policy_loss
from patchail_jax.equations.td_target import td_target


def test_adversarial_loss_is_cross_entropy_of_the_patches():
    expert, agent = jnp.asarray([[[0.5, -2.0]]]), jnp.asarray([[[1.0, 3.0]]])
    probability = jax.nn.sigmoid
    expected = -np.mean(np.log(probability(expert))) - np.mean(np.log(1 - probability(agent)))
    np.testing.assert_allclose(adversarial_loss(expert, agent), expected, rtol=1e-6)
    assert adversarial_loss(expert, agent) > adversarial_loss(agent, expert)


@pytest.mark.parametrize(("name", "expected"), [("min", 0.0), ("median", 1.5), ("mean", 3.0), ("max", 9.0)])
def test_aggregation_of_four_patches(name, expected):
    patches = jnp.asarray([[[9.0, 1.0], [0.0, 2.0]]])
    np.testing.assert_allclose(AGGREGATIONS[name](patches), [expected])


def test_every_aggregation_is_tested():
    assert set(AGGREGATIONS) == {"min", "median", "mean", "max"}


@pytest.mark.parametrize("logit", [-3.0, 0.0, 2.0])
def test_reward_forms_in_terms_of_the_probability(logit):
    d = 1 / (1 + np.exp(-logit))
    expected = {
        "airl": np.log(d) - np.log(1 - d),
        "gail": -np.log(1 - d),
        "gail_log_d": np.log(d),
        "fairl": -logit * np.exp(logit),
        "probability": d,
        "mode": float(d > 0.5),
    }
    assert set(expected) == set(REWARD_FORMS)
    for name, value in expected.items():
        np.testing.assert_allclose(REWARD_FORMS[name](jnp.asarray(logit)), value, rtol=1e-5, atol=1e-6)


def test_td_target_by_hand():
    rewards = jnp.asarray([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    discounts = jnp.asarray([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]])  # the second terminates at its second step
    values = jnp.asarray([[10.0, 10.0], [8.0, 12.0]])
    expected = [1 + 0.5 * 2 + 0.25 * 3 + 0.125 * 8, 1 + 0.5 * 2]
    np.testing.assert_allclose(td_target(rewards, discounts, values, discount=0.5), expected)


def test_noise_is_scaled_then_clipped_then_clamped():
    mean, noise = jnp.asarray([[0.0, 0.9, 0.0]]), jnp.asarray([[10.0, 10.0, -0.5]])
    np.testing.assert_allclose(noisy_action(mean, noise, std=0.2, clip=0.3), [[0.3, 1.0 - 1e-6, -0.1]], rtol=1e-6)
    np.testing.assert_allclose(noisy_action(mean, noise, std=0.05, clip=None), [[0.5, 1.0 - 1e-6, -0.025]], rtol=1e-6)


def test_clamp_passes_the_gradient_outside_the_limits():
    gradient = jax.grad(lambda x: jnp.sum(clamp_straight_through(x)))(jnp.asarray([-3.0, 0.2, 3.0]))
    np.testing.assert_allclose(gradient, 1.0)


def test_policy_loss_takes_the_smaller_head_of_each_sample():
    np.testing.assert_allclose(policy_loss(jnp.asarray([[1.0, 5.0], [3.0, 2.0]])), -1.5)
