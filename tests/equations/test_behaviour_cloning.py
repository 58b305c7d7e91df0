"""Behaviour cloning by hand."""

import jax.numpy as jnp
import numpy as np

from patchail_jax.equations.behaviour_cloning import cloned_policy_loss, log_likelihood, soft_q_filter


def test_the_likelihood_is_that_of_a_normal_policy():
    mean, actions = jnp.asarray([[0.0, 0.5], [0.2, 0.2]]), jnp.asarray([[0.1, 0.5], [0.2, 0.2]])
    at_mean = -2 * np.log(0.1 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(log_likelihood(mean, actions, std=0.1), [at_mean - 0.5, at_mean], rtol=1e-6)


def test_the_cloned_loss_is_a_weighted_sum_of_both():
    values, likelihood = jnp.asarray([[1.0, 5.0], [3.0, 2.0]]), jnp.asarray([2.0, 6.0])
    for weight, expected in ((0.0, -1.5), (1.0, -0.03 * 4), (0.25, -0.75 * 1.5 - 0.03 * 0.25 * 4)):
        loss = cloned_policy_loss(values, likelihood, weight=weight, scale=0.03)
        np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_the_filter_counts_where_the_smaller_value_of_the_reference_is_larger():
    reference = jnp.asarray([[1.0, 5.0, 2.0, 0.0], [9.0, 4.0, 2.0, 7.0]])  # worth 1, 4, 2, 0
    policy = jnp.asarray([[2.0, 3.0, 2.0, 3.0], [0.5, 3.5, 8.0, 1.0]])  # worth 0.5, 3, 2, 1
    np.testing.assert_allclose(soft_q_filter(reference, policy), 0.5)
