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
from tests.parity.golden import GRADIENT, LOSS, cases, relative
from tests.parity.program import TASK, on_one_device
from tests.parity.test_networks import width

with_both = functools.partial(cases, "penalty", lambda spec: spec["grouping"] == "both")
with_channels = functools.partial(cases, "penalty", lambda spec: spec["grouping"] == "channels")

GROUPS = {"samples": by_samples, "channels": functools.partial(by_channels, axis_name=DEVICE_AXIS)}


def evaluate(case, loss):
    """``loss(apply, params, expert, agent, mix) -> (value, aux)`` and its gradient in the parameters."""
    params = case.tree("discriminator")
    module = PatchDiscriminator(case.spec["kernel"], width(params["params"]), jnp.float32)
    inputs = (jnp.asarray(case.inputs[name]) for name in ("expert", "agent", "mix"))
    run = on_one_device(jax.value_and_grad(functools.partial(loss, module.apply), has_aux=True))
    (value, aux), gradient = run(params, *(array[None] for array in inputs))
    return value, aux, jax.device_get(gradient)["params"]


def classification(apply, params, expert, agent, mix):
    return adversarial_loss(*jnp.split(apply(params, jnp.concatenate([expert, agent])), 2)), None


def penalty(apply, params, expert, agent, mix, **norms):
    weight = paper_config(TASK).discriminator.penalty_weight
    return gradient_penalty(apply, params, interpolate(mix, expert, agent), weight=weight, **norms)


@with_both()
def test_the_loss_and_its_gradient(compare, name):
    value, _, gradient = evaluate(compare.case, classification)
    compare.value("loss of Eq. 4", value, "classification", LOSS)
    compare.tensors("gradient of the loss", "classification_gradient", gradient, GRADIENT)
    _, _, slope = evaluate(compare.case, penalty)
    together = jax.tree.map(lambda one, other: np.float64(one) + other, gradient, slope)
    compare.tensors("gradient of loss and penalty", "both_gradient", together, GRADIENT)


@with_both()
@pytest.mark.parametrize("groups", GROUPS)
def test_both_groups_are_one_where_pairs_are_as_many_as_channels(compare, name, groups):
    value, _, gradient = evaluate(compare.case, functools.partial(penalty, norms_of=GROUPS[groups]))
    compare.value(f"penalty by {groups}", value, "penalty", LOSS)
    compare.tensors(f"gradient of the penalty by {groups}", "penalty_gradient", gradient, GRADIENT)


@with_channels()
def test_the_penalty_is_by_samples_by_default(compare, name):
    case = compare.case
    value, norm, gradient = evaluate(case, penalty)
    compare.value("penalty by samples", value, "per_sample_penalty", LOSS)
    compare.error("mean norm of samples", relative(norm, case["sample_norms"].mean()), LOSS)
    size = relative(case["per_sample_penalty"], case["penalty"])
    compare.departs("penalty by samples, from channels", relative(value, case["penalty"]), size - LOSS, size + LOSS)
    whole, _ = case.tensor_errors("penalty_gradient", gradient)
    compare.departs("gradient of the penalty by samples, from channels", whole, 0.01, 100.0)


@with_channels()
def test_the_published_penalty_is_by_channels(compare, name):
    value, norm, gradient = evaluate(compare.case, functools.partial(penalty, norms_of=GROUPS["channels"]))
    compare.value("penalty by channels", value, "penalty", LOSS)
    compare.error("mean norm of channels", relative(norm, compare.case["group_norms"].mean()), LOSS)
    compare.tensors("gradient of the penalty by channels", "penalty_gradient", gradient, GRADIENT)
