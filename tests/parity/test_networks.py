"""Forward passes of every network."""

import jax
import jax.numpy as jnp
import numpy as np

from patchail_jax.networks.actor import Actor
from patchail_jax.networks.critic import Critic
from patchail_jax.networks.encoder import Encoder
from patchail_jax.networks.feature_discriminator import FeatureDiscriminator, ImageFeatures
from patchail_jax.networks.patch_discriminator import PatchDiscriminator
from tests.parity.golden import FORWARD, cases


def width(convolutions):
    """Channels of the first one."""
    return convolutions["convolution_0"]["kernel"].shape[-1]


def apply(module, *arguments):
    return np.asarray(jax.jit(module.apply)(*arguments))


@cases("logits")
def test_patch_logits(compare, name):
    case = compare.case
    weights = case.tree("discriminator")
    module = PatchDiscriminator(case.spec["kernel"], width(weights["params"]), jnp.float32)
    logits = apply(module, weights, case.inputs["pairs"])
    compare.same("shape of the logits", logits.shape, case["shape"])
    compare.tensors("logits", "logits", logits, FORWARD)
    compare.value("mean logit of each pair", logits.mean(axis=(1, 2)), "mean_by_sample", FORWARD)


@cases("networks")
def test_encoder_actor_and_critic(compare, name):
    case, spec = compare.case, compare.case.spec
    weights, sizes = case.tree("encoder"), (spec["feature"], spec["hidden"], jnp.float32)
    features = apply(Encoder(width(weights["params"]), jnp.float32), weights, case.inputs["observations"])
    compare.tensors("encoder's features", "encoder", features, FORWARD)
    mean = apply(Actor(spec["actions"], *sizes), case.tree("actor"), features)
    compare.value("actor's mean", mean, "actor_mean", FORWARD)
    values = apply(Critic(*sizes), case.tree("critic"), features, case.inputs["action"])
    compare.value("critic's two values", values, "critic_values", FORWARD)


@cases("networks")
def test_the_encoder_baselines_discriminator(compare, name):
    case, spec = compare.case, compare.case.spec
    weights = case.tree("features")
    module = ImageFeatures(width(weights["params"]["encoder"]), spec["feature"], jnp.float32)
    features = apply(module, weights, case.inputs["observations"])
    compare.value("independent encoder's features", features, "own_features", FORWARD)
    pairs = np.concatenate([features, features[::-1]], axis=1)
    logits = apply(FeatureDiscriminator(spec["hidden"], jnp.float32), case.tree("head"), pairs)
    compare.value("logit of a pair of features", logits[:, 0, 0], "feature_logit", FORWARD)
