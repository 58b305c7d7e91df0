"""The discriminator's loss and gradient penalty, with their gradients.

The published program takes, by a slip, as many norms as a pair has channels, not one a sample. The two are one where a
batch has as many pairs as a pair has channels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.equations.adversarial_loss import adversarial_loss
from patchail_jax.equations.gradient_penalty import by_channels, by_samples, gradient_penalty, interpolate
from patchail_jax.networks.patch_discriminator import PatchDiscriminator
from patchail_jax.run.config import paper_config
from patchail_jax.updates.gradient_step import DEVICE_AXIS
from tests.parity.golden import GRADIENT, LOSS, cases, load, relative
from tests.parity.program import TASK, on_one_device
from tests.parity.test_networks import width

GROUPS = {"samples": by_samples, "channels": functools.partial(by_channels, axis_name=DEVICE_AXIS)}


def of_grouping(grouping):
    """Batches as large as the paper's are slow."""

    def suits(spec):
        return spec["grouping"] == grouping

    return cases("penalty", suits, slow=lambda spec: spec["pairs"] > 64, scope="module")


def loss(apply, params, expert, agent, mix):
    del mix
    return adversarial_loss(*jnp.split(apply(params, jnp.concatenate([expert, agent])), 2)), None


def penalty(norms_of, apply, params, expert, agent, mix):
    weight = paper_config(TASK).discriminator.penalty_weight
    return gradient_penalty(apply, params, interpolate(mix, expert, agent), weight=weight, norms_of=norms_of)


@pytest.fixture(scope="module")
def found(name):
    """Value, mean norm and gradient of the loss and of both penalties, by one program: they share their networks."""
    case = load(name)
    params = case.tree("discriminator")
    apply = PatchDiscriminator(case.spec["kernel"], width(params["params"]), jnp.float32).apply
    functions = {group: functools.partial(penalty, norms_of) for group, norms_of in GROUPS.items()}
    if case.spec["grouping"] == "both":
        functions["loss"] = loss

    def all_of_them(params, *inputs):
        return {
            what: jax.value_and_grad(functools.partial(function, apply), has_aux=True)(params, *inputs)
            for what, function in functions.items()
        }

    inputs = (jnp.asarray(case.inputs[side])[None] for side in ("expert", "agent", "mix"))
    told = jax.device_get(on_one_device(all_of_them)(params, *inputs))
    return {what: (value, norm, gradient["params"]) for what, ((value, norm), gradient) in told.items()}


@of_grouping("both")
def test_the_loss_and_its_gradient(compare, found, name):
    value, _, gradient = found["loss"]
    compare.value("loss of Eq. 4", value, "classification", LOSS)
    compare.tensors("gradient of the loss", "classification_gradient", gradient, GRADIENT)
    together = jax.tree.map(lambda one, other: np.float64(one) + other, gradient, found["samples"][2])
    compare.tensors("gradient of loss and penalty", "both_gradient", together, GRADIENT)


@of_grouping("both")
def test_both_groups_are_one_where_pairs_are_as_many_as_channels(compare, found, name):
    for group in GROUPS:
        value, _, gradient = found[group]
        compare.value(f"penalty by {group}", value, "penalty", LOSS)
        compare.tensors(f"gradient of the penalty by {group}", "penalty_gradient", gradient, GRADIENT)


@of_grouping("channels")
def test_the_penalty_is_by_samples_by_default(compare, found, name):
    case = compare.case
    value, norm, gradient = found["samples"]
    compare.value("penalty by samples", value, "per_sample_penalty", LOSS)
    compare.error("mean norm of samples", relative(norm, case["sample_norms"].mean()), LOSS)
    size = relative(case["per_sample_penalty"], case["penalty"])
    compare.departs("penalty by samples, from channels", relative(value, case["penalty"]), size - LOSS, size + LOSS)
    whole, _ = case.tensor_errors("penalty_gradient", gradient)
    compare.departs("gradient of the penalty by samples, from channels", whole, 0.01, 100.0)


@of_grouping("channels")
def test_the_published_penalty_is_by_channels(compare, found, name):
    value, norm, gradient = found["channels"]
    compare.value("penalty by channels", value, "penalty", LOSS)
    compare.error("mean norm of channels", relative(norm, compare.case["group_norms"].mean()), LOSS)
    compare.tensors("gradient of the penalty by channels", "penalty_gradient", gradient, GRADIENT)


def test_the_default_and_the_published_variant_choose_them():
    assert paper_config(TASK).discriminator.penalty_groups == "samples"
    groups = {"patchail": "channels", "shared_encoder_ail": "samples", "independent_encoder_ail": "samples"}
    for method, published in groups.items():
        assert paper_config(TASK, f"{method}+published").discriminator.penalty_groups == published
