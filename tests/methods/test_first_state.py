"""A first state that begins with what another run has learned."""

import jax
import numpy as np
import pytest

from patchail_jax.methods import METHODS
from tests.small import make_method

COPIES = ("reference", "target")  # of the policy: ROT's, and the soft Q-filter's


def changed(before, after):
    """Names of the arrays that differ."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    return {jax.tree_util.keystr(path, simple=True, separator=".") for (path, one), two in pairs if (one != two).any()}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_parts_are_the_first_state_s_and_nothing_else_is_another(method):
    made, key = make_method(method), jax.random.PRNGKey(0)

    def parts_of(state):
        judged = {} if made.discriminator is None else {"discriminator": state.discriminator.params}
        return {**made.publish(state), **judged}

    first = jax.jit(made.init)(key)
    for name, own in parts_of(first).items():
        parts = {name: jax.tree.map(lambda leaf: leaf + 1, own)}
        begun = jax.jit(made.init)(key, parts)
        jax.tree.map(np.testing.assert_array_equal, parts_of(begun)[name], parts[name])
        assert all(name in where.split(".") for where in changed(first, begun))
        copies = [getattr(begun, kept, None) for kept in COPIES]
        for copy in copies if name != "discriminator" else ():
            if copy is not None:
                jax.tree.map(np.testing.assert_array_equal, copy[name], parts[name])
