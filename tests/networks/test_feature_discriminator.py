"""Features of whole images, and what judges them."""

import jax
import jax.numpy as jnp
import numpy as np

from patchail_jax.equations.gradient_penalty import NOT_PIXELS, gradient_penalty
from patchail_jax.networks.critic import Critic
from patchail_jax.networks.encoder import Identity
from patchail_jax.networks.feature_discriminator import FeatureDiscriminator, ImageFeatures

KEY = jax.random.PRNGKey(0)


def test_one_logit_a_pair_in_the_form_of_one_patch():
    network, features = FeatureDiscriminator(16, jnp.bfloat16), jnp.ones((3, 100), jnp.bfloat16)
    params = network.init(KEY, features)
    logits = network.apply(params, features)
    assert logits.shape == (3, 1, 1) and logits.dtype == jnp.float32
    shapes = [params["params"][name]["kernel"].shape for name in ("hidden_0", "hidden_1", "logit")]
    assert shapes == [(100, 16), (16, 16), (16, 1)]


def test_the_paper_s_image_features():
    network = ImageFeatures(32, 50, jnp.float32)
    pixels = jnp.zeros((2, 84, 84, 9), jnp.uint8)
    params = jax.eval_shape(network.init, KEY, pixels)
    assert jax.eval_shape(network.apply, params, pixels).shape == (2, 50)
    assert params["params"]["trunk"]["projection"]["kernel"].shape == (39_200, 50)


def test_the_critic_s_latent_is_what_its_heads_read():
    critic, features, actions = Critic(8, 16, jnp.float32), jnp.ones((3, 20)), jnp.zeros((3, 2))
    params = critic.init(KEY, features, actions)
    latent = critic.apply(params, features, method="latent")
    assert latent.shape == (3, 8) and float(jnp.abs(latent).max()) < 1
    moved = jax.tree.map(lambda leaf: leaf + 1.0, params["params"]["heads_0"])
    other = {"params": {**params["params"], "heads_0": moved}}
    np.testing.assert_array_equal(critic.apply(other, features, method="latent"), latent)


def test_features_need_no_encoder():
    network, features = Identity(jnp.float32), jnp.asarray([[1.5, -300.0]])
    np.testing.assert_array_equal(network.apply(network.init(KEY, features), features), features)


def test_the_penalty_of_features_is_with_respect_to_them_as_they_are():
    weights = jnp.asarray([0.3, -0.4])

    def linear(weights, x):
        return (x @ weights)[:, None, None]

    penalty, norm = gradient_penalty(linear, weights, jnp.ones((5, 2)), weight=10.0, pixel_scale=NOT_PIXELS)
    np.testing.assert_allclose([penalty, norm], [10 * 0.5**2, 0.5], rtol=1e-5)
