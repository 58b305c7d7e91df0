"""The tests check the shapes that functions of the pure rooms name: a wrong one is refused, in each room."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from patchail_jax.equations.td_target import td_target
from patchail_jax.maps.patch_map import patch_map
from patchail_jax.networks.critic import Critic
from patchail_jax.networks.geometry import patch_layers
from patchail_jax.updates.augmentation import random_shift
from patchail_jax.updates.prepare_batch import sample_keys


def wrong_equation():
    td_target(jnp.ones((4, 3)), jnp.ones((4, 3)), jnp.ones((2, 5)), discount=0.99)


def wrong_network():
    Critic(8, 16, jnp.float32).init(jax.random.PRNGKey(0), jnp.ones((3, 20)), jnp.ones((4, 2)))


def wrong_update():
    random_shift(jax.random.split(jax.random.PRNGKey(0), 2), jnp.zeros((3, 8, 8, 3)), pad=1)


def wrong_type():
    sample_keys(jax.random.PRNGKey(0), jnp.arange(3.0))


def wrong_map():
    patch_map(np.ones((2, 5, 4), np.float32), image_size=20, layers=patch_layers(4))


@pytest.mark.parametrize("wrong", [wrong_equation, wrong_network, wrong_update, wrong_type, wrong_map])
def test_a_wrong_array_is_refused(wrong):
    with pytest.raises(TypeCheckError):
        wrong()


def test_a_module_s_field_of_another_type_is_refused():
    with pytest.raises(TypeCheckError):
        Critic("8", 16, jnp.float32)
