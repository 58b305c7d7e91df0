"""The similarity and the regularised rewards, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.equations.regularized_reward import weighted, with_bonus
from patchail_jax.equations.similarity import (
    EXPERTS,
    LOG_SCORES,
    divergence,
    log_exponential,
    log_share,
    mean_similarity,
    nearest_similarity,
)


def distribution(*shares):
    """Two patches, ``[1,2]``, as logarithms."""
    return jnp.log(jnp.asarray([shares], jnp.float32))


@pytest.mark.parametrize("name", LOG_SCORES)
def test_the_patches_shares_add_up_to_one_even_for_large_logits(name):
    logits = jnp.asarray([[[0.0, 1.0], [-90.0, -100.0]], [[-200.0, -200.0], [-200.0, -200.0]]])
    shares = np.exp(log_share(LOG_SCORES[name](logits)))
    np.testing.assert_allclose(shares.sum(axis=(1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(shares[1], 0.25, rtol=1e-5)


def test_the_two_distributions_of_two_patches():
    logits = jnp.asarray([[0.0, np.log(3.0)]])  # sigmoids 1/2 and 3/4
    np.testing.assert_allclose(np.exp(log_share(LOG_SCORES["sigmoid"](logits))), [[0.4, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_share(log_exponential(logits))), [[0.25, 0.75]], rtol=1e-6)


def test_divergence_by_hand_and_zero_for_equals():
    p, q = distribution(0.5, 0.5), distribution(0.25, 0.75)
    np.testing.assert_allclose(divergence(p, q), 0.5 * np.log(2) + 0.5 * np.log(2 / 3), rtol=1e-6)
    np.testing.assert_allclose(divergence(p, p), 0, atol=1e-7)
    np.testing.assert_allclose(mean_similarity(p[None], p), [1.0], rtol=1e-6)


def test_the_nearest_expert_counts_in_equation_6_and_the_mean_in_7_and_8():
    agents = jnp.stack([distribution(0.5, 0.5), distribution(0.9, 0.1)])
    experts = jnp.stack([distribution(0.25, 0.75), distribution(0.9, 0.1)])
    to_first = np.exp(-(0.5 * np.log(2) + 0.5 * np.log(2 / 3)))
    to_second = np.exp(-(0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)))
    np.testing.assert_allclose(nearest_similarity(agents, experts), [max(to_first, to_second), 1.0], rtol=1e-5)
    middle = distribution(0.575, 0.425)
    by_hand = np.exp(-(0.5 * np.log(0.5 / 0.575) + 0.5 * np.log(0.5 / 0.425)))
    np.testing.assert_allclose(mean_similarity(agents, middle)[0], by_hand, rtol=1e-5)


@pytest.mark.parametrize("name", EXPERTS)
@pytest.mark.parametrize("distribution", LOG_SCORES)
def test_equals_have_similarity_one_even_where_shares_underflow(name, distribution):
    logits = jnp.asarray([[[0.0, 0.0, -110.0]]])

    def similarity(agent, expert):
        log_scores = LOG_SCORES[distribution]
        return EXPERTS[name](log_share(log_scores(agent)), expert, log_scores, axis_name="devices")

    found = jax.pmap(similarity, axis_name="devices")(jnp.stack([logits] * 2), jnp.stack([logits] * 2))
    np.testing.assert_allclose(found, 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["mean", "mean_scores"])
def test_the_mean_over_devices_is_the_mean_over_all_pairs(name):
    rng = np.random.default_rng(0)
    agent, expert = (jnp.asarray(3 * rng.normal(size=(4, 3, 3)), jnp.float32) for _ in range(2))
    log_sigmoid = LOG_SCORES["sigmoid"]
    found = jax.pmap(
        lambda agent, expert: EXPERTS[name](log_share(log_sigmoid(agent)), expert, log_sigmoid, axis_name="devices"),
        axis_name="devices",
    )(jnp.reshape(agent, (2, 2, 3, 3)), jnp.reshape(expert, (2, 2, 3, 3)))
    scores = 1 / (1 + np.exp(-np.asarray(expert, np.float64)))
    shares = scores / scores.sum(axis=(1, 2), keepdims=True)
    mean = shares.mean(axis=0) if name == "mean" else scores.mean(axis=0) / scores.mean(axis=0).sum()
    expected = mean_similarity(log_share(log_sigmoid(agent)), jnp.asarray(np.log(mean), jnp.float32))
    np.testing.assert_allclose(jnp.ravel(found), expected, rtol=1e-5)


def test_weight_and_bonus_by_hand():
    rewards = jnp.asarray([[1.0, -2.0, 3.0]])
    each, window = jnp.asarray([[0.5, 1.0, 0.1]]), jnp.asarray([[0.5]])
    np.testing.assert_allclose(weighted(rewards, each, scale=2.0), [[1.0, -4.0, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(weighted(rewards, window, scale=2.0), [[1.0, -2.0, 3.0]], rtol=1e-6)
    np.testing.assert_allclose(with_bonus(rewards, each, scale=2.0), [[2.0, 0.0, 3.2]], rtol=1e-6)
    np.testing.assert_allclose(with_bonus(rewards, window, scale=2.0), [[2.0, -2.0, 3.0]], rtol=1e-6)
