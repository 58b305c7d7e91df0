"""Networks of a line each in the place of the product's, and chance that is known: an update small enough for paper.

What a method makes of its networks is then a formula, compiles in a second, and shows where pixels were augmented:
the augmentation adds its strength to every pixel. The noise is ``NOISE`` wherever there is noise.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.methods import drqv2, patchail
from patchail_jax.run.config import paper_config
from patchail_jax.run.design import make_method
from patchail_jax.types import Specs
from patchail_jax.updates.augmentation import AUGMENTATIONS
from patchail_jax.updates.gradient_step import DEVICE_AXIS

SPECS = Specs(image_size=16, frame_stack=2, action_size=2, n_step=3)
NOISE = np.asarray([1.5, -0.2], np.float32)  # the first is clipped where there is a clip, the second is not
TILE = 4

# Every number another one, none the default: one in another's place is seen.
NUMBERS = {
    "env.frame_stack": 2,
    "agent.optimizer": "sgd",
    "agent.critic_learning_rate": 0.05,
    "agent.actor_learning_rate": 0.03,
    "agent.discount": 0.8,
    "agent.target_rate": 0.2,
    "agent.std_initial": 0.9,
    "agent.std_final": 0.4,
    "agent.std_duration": 40,
    "agent.noise_clip": 0.35,
    "agent.preactivation_penalty": 0.06,
    "agent.shift_pad": 9,
    "agent.first_update_step": 10,
    "agent.steps_per_update": 2,
    "network.precision": "float32",
    "discriminator.optimizer": "sgd",
    "discriminator.learning_rate": 0.4,
    "discriminator.penalty_weight": 7.0,
    "discriminator.penalty_pixel_scale": 20.0,
    "discriminator.augmentation_pad": 23,
    "cloning.weight_final": 0.1,
    "cloning.weight_duration": 50,
    "cloning.likelihood_scale": 0.07,
    "cloning.std": 0.6,
    "optimal_transport.target_steps": 3,
}


def weights(*shape):
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


class Encoder:
    """The mean over places of each channel, mixed: ``[B,H,W,C]`` to ``[B,3]``."""

    def __init__(self, *_):
        pass

    def init(self, key, pixels):
        return {"encoder": jnp.asarray(weights(pixels.shape[-1], 3))}

    def apply(self, params, pixels):
        return jnp.tanh(jnp.mean(pixels.astype(jnp.float32), axis=(1, 2)) @ params["encoder"] / 255.0)


class Critic:
    """Two parabolas of features and actions: ``[2,B]``."""

    def __init__(self, *_):
        pass

    def init(self, key, features, actions):
        return {"critic": jnp.asarray(weights(features.shape[-1] + actions.shape[-1], 2))}

    def apply(self, params, features, actions):
        x = jnp.concatenate([features, actions], axis=-1) @ params["critic"]
        return jnp.swapaxes(x - 0.3 * x**2, 0, 1)


class Actor:
    """One layer: ``[B,A]``, some means so large that noise takes them out of bounds."""

    def __init__(self, *_):
        pass

    def init(self, key, features):
        return {"actor": jnp.asarray(weights(features.shape[-1], SPECS.action_size))}

    def apply(self, params, features, *, method=None):
        inner = 2.0 * features @ params["actor"]
        return inner if method == "preactivation" else jnp.tanh(inner)


class PatchDiscriminator:
    """A number for each tile of the image, linear in its pixels: the penalty is the same wherever it is taken."""

    def __init__(self, *_):
        pass

    def init(self, key, pixels):
        return {"tile": jnp.asarray(weights(SPECS.image_size // TILE, SPECS.image_size // TILE, pixels.shape[-1]))}

    def apply(self, params, pixels):
        patches, channels = SPECS.image_size // TILE, pixels.shape[-1]
        x = jnp.reshape(pixels.astype(jnp.float32), (-1, patches, TILE, patches, TILE, channels))
        return jnp.sum(jnp.mean(x / 255.0 - 0.5, axis=(2, 4)) * params["tile"][None], axis=-1)


@pytest.fixture
def plain_networks(monkeypatch):
    for module, network in ((drqv2, Encoder), (drqv2, Critic), (drqv2, Actor), (patchail, PatchDiscriminator)):
        monkeypatch.setattr(module, network.__name__, network)

    def brighter(keys, stacks, *, pad):
        return stacks + np.asarray(pad, stacks.dtype)

    monkeypatch.setitem(AUGMENTATIONS, "random_shift", brighter)
    monkeypatch.setattr(
        drqv2, "sample_normal", lambda key, index, size: jnp.broadcast_to(jnp.asarray(NOISE), (len(index), size))
    )


def config_of(name, **changed):
    """The paper's config of a method with ``NUMBERS`` and what is changed, ``group__field``."""
    config = paper_config("cheetah_run", name)
    config.update_from_flattened_dict(NUMBERS)
    config.update_from_flattened_dict({field.replace("__", "."): value for field, value in changed.items()})
    return config


def make(config):
    return make_method(config, SPECS)


def compiled(function):
    """A method's update or pre-training on one device, without the device's axis."""
    axis = jax.jit(jax.vmap(function, axis_name=DEVICE_AXIS))

    def run(state, batch):
        found = axis(*(jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree) for tree in (state, batch)))
        return jax.tree.map(lambda leaf: np.asarray(leaf[0]), found)

    return run
