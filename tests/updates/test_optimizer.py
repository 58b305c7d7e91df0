"""Learning rates over an optimizer's steps, in the optimizer and in what a method's parts make of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.updates.gradient_step import OPTIMIZERS, make_optimizer
from tests.small import make_method


def rates(optimizer, steps):
    """What a gradient of 1 changes, step by step."""
    state, found = optimizer.init(jnp.zeros(())), []
    for _ in range(steps):
        change, state = optimizer.update(jnp.ones(()), state)
        found.append(-float(change))
    return found


@pytest.mark.parametrize("name", OPTIMIZERS)  # Adam divides a constant gradient by itself
def test_the_rate_falls_in_a_straight_line_and_stays(name):
    falling = make_optimizer(name, 0.5, {"start": 2, "updates": 4, "final": 0.1}, group="agent")
    np.testing.assert_allclose(rates(falling, 8), [0.5, 0.5, 0.5, 0.3875, 0.275, 0.1625, 0.05, 0.05], rtol=1e-4)
    constant = make_optimizer(name, 0.5, {"start": 2, "updates": 0, "final": 0.1}, group="agent")
    np.testing.assert_allclose(rates(constant, 4), 0.5, rtol=1e-4)


def test_without_decay_the_state_is_the_plain_optimizer_s():
    made = make_optimizer("adam", 0.1, {"start": 5, "updates": 0, "final": 0.1}, group="agent")
    assert jax.tree.structure(OPTIMIZERS["adam"](0.1).init(0.0)) == jax.tree.structure(made.init(0.0))


@pytest.mark.parametrize("field", ["start", "updates", "final"])
def test_a_negative_number_is_one_line(field):
    with pytest.raises(UserError, match=f"config.agent.decay .*{field} -1") as error:
        make_optimizer("adam", 0.5, {"start": 0, "updates": 10, "final": 0.1, field: -1}, group="agent")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("method", ["patchail", "shared_encoder_ail"])
def test_every_optimizer_of_a_method_has_its_group_s(method):
    falling = {"start": 1, "updates": 2, "final": 0.5}

    def counts(**overrides):
        state = make_method(method, **overrides).init(jax.random.PRNGKey(0))
        leaves, _ = jax.tree_util.tree_flatten_with_path(state)
        return sum(".count" in jax.tree_util.keystr(path) for path, _ in leaves)

    plain = counts()
    assert counts(agent__decay=falling) == plain + 2  # critic and actor
    assert counts(discriminator__decay=falling) == plain + 1
