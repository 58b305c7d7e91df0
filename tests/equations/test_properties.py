"""What the equations promise for all numbers, not for those of an example."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from patchail_jax.equations.aggregation import AGGREGATIONS
from patchail_jax.equations.patch_reward import REWARD_FORMS
from patchail_jax.equations.regularized_reward import weighted, with_bonus
from patchail_jax.equations.similarity import EXPERTS, LOG_SCORES, divergence, log_share

few = settings(max_examples=15, deadline=None)


def numbers(*shape, most=20.0):
    return arrays(np.float32, shape, elements=st.floats(-most, most, width=32))


SIMILARITIES = {
    (name, distribution): jax.jit(
        jax.vmap(
            lambda agent, expert, name=name, scores=scores: EXPERTS[name](
                log_share(scores(agent)), expert, scores, axis_name="d"
            ),
            axis_name="d",
        )
    )
    for name in EXPERTS
    for distribution, scores in LOG_SCORES.items()
}


@pytest.mark.parametrize("case", SIMILARITIES, ids="-".join)
def test_a_similarity_is_a_share_and_one_for_the_expert_itself(case):
    @few
    @given(numbers(1, 3, 2, 2), numbers(1, 1, 2, 2))
    def holds(agent, expert):
        found = np.asarray(SIMILARITIES[case](agent, expert))
        assert (found >= 0).all() and (found <= 1 + 1e-5).all() and np.isfinite(found).all()
        np.testing.assert_allclose(SIMILARITIES[case](expert, expert), 1.0, rtol=1e-4)
        assert (np.abs(agent) > 10).any() or (found > 0).all()

    holds()


@few
@given(numbers(1, 2, 2, most=5.0), numbers(1, 2, 2, most=5.0))
def test_a_divergence_is_not_negative_and_the_order_of_patches_does_not_matter(one, other):
    p, q = (log_share(jnp.asarray(logits)) for logits in (one, other))
    there = float(divergence(p, q)[0])
    assert there > -1e-5
    turned = divergence(p[:, ::-1], q[:, ::-1])
    np.testing.assert_allclose(turned, there, rtol=1e-4, atol=1e-5)
    if np.abs(np.exp(p) - np.exp(q)).max() > 1e-2:
        assert there > 0


@few
@given(numbers(2, 3), numbers(2, 3), st.floats(0.125, 4.0, width=32))
def test_w_is_linear_in_the_reward_and_b_shifts_it(rewards, others, scale):
    similarity = jnp.asarray(np.random.default_rng(0).uniform(0.1, 1, (2, 3)), jnp.float32)
    for similar in (similarity, similarity[:, :1]):
        w, b = (
            lambda r, rule=rule, similar=similar: np.asarray(rule(jnp.asarray(r), similar, scale=scale))
            for rule in (weighted, with_bonus)
        )
        np.testing.assert_allclose(w(2 * rewards - others), 2 * w(rewards) - w(others), rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(w(np.zeros_like(rewards)), 0)
        np.testing.assert_allclose(b(rewards) - rewards, b(others) - others, atol=1e-4)
        np.testing.assert_allclose(
            (b(rewards) - rewards).sum(axis=1), scale * similar.sum(axis=1), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_an_aggregation_moves_with_the_rewards_and_forgets_their_places(name):
    aggregate = AGGREGATIONS[name]

    @few
    @given(numbers(2, 3, 3), st.floats(-5, 5, width=32))
    def holds(rewards, shift):
        found = np.asarray(aggregate(jnp.asarray(rewards)))
        np.testing.assert_allclose(aggregate(jnp.asarray(3 * rewards + shift)), 3 * found + shift, rtol=1e-4, atol=1e-4)
        turned = jnp.asarray(rewards.reshape(2, -1)[:, ::-1].reshape(2, 3, 3))
        np.testing.assert_allclose(aggregate(turned), found, rtol=1e-4, atol=1e-5)
        flat = rewards.reshape(2, -1)
        assert (found >= flat.min(axis=1) - 1e-5).all() and (found <= flat.max(axis=1) + 1e-5).all()

    holds()


def test_the_signs_and_directions_of_reward_forms():
    logits = jnp.linspace(-5, 5, 21)
    forms = {name: np.asarray(form(logits)) for name, form in REWARD_FORMS.items()}
    assert (forms["gail"] > 0).all() and (forms["gail_log_d"] < 0).all()
    assert all((np.diff(forms[name]) > 0).all() for name in ("airl", "gail", "gail_log_d"))
    np.testing.assert_allclose(forms["airl"], forms["gail"] + forms["gail_log_d"], atol=1e-5)
    np.testing.assert_allclose(forms["airl"], -forms["airl"][::-1], atol=1e-5)
