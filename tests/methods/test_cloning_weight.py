"""How much the cloning term weighs: by the step, or by a frozen policy's actions."""

import dataclasses

import jax
import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.methods.cloning_weight import clones, scheduled
from tests.methods import plain_update
from tests.methods.plain_networks import compiled, config_of, make, plain_networks
from tests.methods.test_plain_update import assert_changed, learned, make_pixels
from tests.small import groups_of, make_method

__all__ = ["plain_networks"]


def cloning(**changed):
    return {**groups_of()["cloning"], **changed}


def test_the_exponential_falls_by_its_factor_every_so_many_steps():
    falling = scheduled(cloning(schedule="exponential", weight_initial=0.8, weight_factor=0.5, weight_factor_steps=10))
    np.testing.assert_allclose([falling(step) for step in (0, 5, 10, 30)], [0.8, 0.8 * 0.5**0.5, 0.4, 0.1], rtol=1e-5)
    config = config_of("patchail").cloning  # Jena et al.
    assert (config.weight_factor, config.weight_factor_steps) == (0.933, 500)


def test_there_is_a_term_where_something_weighs_it():
    assert not clones(cloning()) and clones(cloning(weight_initial=0.1)) and clones(cloning(schedule="soft_q_filter"))
    with pytest.raises(UserError, match="config.cloning.schedule is 'cubic'; use one of linear, exponential, soft_q"):
        make_method(cloning__schedule="cubic")


@pytest.mark.parametrize("schedule", ["exponential", "soft_q_filter"])
def test_an_adversarial_method_clones_by_every_schedule(schedule, plain_networks):
    config = config_of(
        "patchail",
        reward__moment="at_episode_end",
        cloning__schedule=schedule,
        cloning__weight_initial=0.8,
        cloning__weight_factor=0.5,
        cloning__weight_factor_steps=3,
    )
    groups, method = config.to_dict(), make(config)
    assert method.needs.actions
    state = method.init(jax.random.PRNGKey(0))
    update, seen = compiled(method.update), []
    reference = None
    if schedule == "soft_q_filter":
        reference = jax.tree.map(lambda leaf: -0.5 * leaf, state.reference)  # another policy than the learner's
        state = dataclasses.replace(state, reference=reference)

    def weigh(critic, observations, features, actions):
        if reference is None:
            seen.append(0.8 * 0.5 ** ((10 + 2 * len(seen)) / 3))  # updates at steps 10, 12, ...
            return seen[-1]
        frozen = plain_update.act(reference["actor"], plain_update.encode(reference["encoder"], observations))
        worth = [np.min(plain_update.value(critic, features, taken), axis=0) for taken in (frozen, actions)]
        seen.append(np.mean(worth[0] > worth[1]))
        return seen[-1]

    for seed in range(2):
        batch = make_pixels(seed)
        expected, _ = plain_update.learn(groups, state.learner, batch, batch.agent.rewards, weigh)
        after, metrics = update(state, batch)
        assert_changed(learned(state.learner), learned(after.learner), expected)
        np.testing.assert_allclose(metrics["cloning/weight"], seen[-1], rtol=1e-5)
        state = after
    if reference is None:
        assert state.reference is None
    else:
        assert min(seen) > 0 or max(seen) > 0
        for one, other in zip(jax.tree.leaves(reference), jax.tree.leaves(state.reference), strict=True):
            np.testing.assert_array_equal(one, other)
