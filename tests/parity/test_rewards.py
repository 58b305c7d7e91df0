"""Rewards of an episode's steps, and the similarity that PatchAIL-W and -B change them by."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.methods.adversarial import State
from patchail_jax.methods.discriminator import DiscriminatorState
from patchail_jax.methods.regularizer import make_regularizer
from patchail_jax.run.config import paper_config
from patchail_jax.updates.gradient_step import DEVICE_AXIS
from tests.parity.golden import FORWARD, LOSS, cases, relative
from tests.parity.program import TASK, build

AGGREGATIONS = ("mean", "max", "min", "median")
REGULARIZERS = {"patchail_w": "reward_weight", "patchail_b": "reward_bonus"}


@cases("rewards")
@pytest.mark.parametrize("method", ["patchail", "patchail+published"])
def test_airl_rewards_are_the_same_by_default_and_as_published(compare, name, method):
    """Whether patches are aggregated before or after the logit becomes the reward: of AIRL it is the same."""
    case, spec = compare.case, compare.case.spec
    labels = {
        f"{aggregation}_scale_{scale:g}": build(
            method, spec, reward__aggregation=aggregation, reward__scale=scale, reward__moment="at_episode_end"
        ).method.label
        for scale, aggregation in itertools.product((1.0, spec["scale"]), AGGREGATIONS)
    }
    frames = case.inputs["frames"]
    frames = np.concatenate([frames[:1].repeat(spec["stack"] - 1, axis=0), frames])
    state = State(learner=None, discriminator=DiscriminatorState(case.tree("discriminator"), None))
    found = jax.jit(lambda *given: {member: label(*given, None)[1] for member, label in labels.items()})(state, frames)
    for member, rewards in found.items():
        compare.value(f"{member}, {method}", rewards, member, FORWARD)


def regularized(config, rewards, agent_logits, expert_logits, scale):
    """The rewards ``[B]`` and lambda by ``config``; ``scale`` 0 makes lambda anew."""
    apply = functools.partial(make_regularizer(config.similarity.to_dict()).apply, scale=jnp.float32(scale))
    on_one_device = jax.jit(jax.vmap(apply, axis_name=DEVICE_AXIS))
    batch = (rewards[:, None], agent_logits[:, None], expert_logits)
    rewards, scale, _ = on_one_device(*(jnp.asarray(array)[None] for array in batch))
    return np.asarray(rewards)[0, :, 0], float(scale[0])


def similarity(config, case):
    """That of each agent pair ``[B]``: the bonus of lambda 1 on rewards of 0."""
    a = case.inputs
    bonus = paper_config(TASK, "patchail_b")
    bonus.similarity.expert = config.similarity.expert
    return regularized(bonus, np.zeros_like(a["rewards"]), a["agent_logits"], a["expert_logits"], 1.0)[0]


def compare_similarity(compare, variant, prefix=""):
    case, a = compare.case, compare.case.inputs
    for method, member in REGULARIZERS.items():
        config = paper_config(TASK, f"{method}{variant}")
        label = f"{config.similarity.expert}, {method}"
        given = a["rewards"], a["agent_logits"], a["expert_logits"]
        rewards, _ = regularized(config, *given, a["scale"])
        compare.value(f"rewards by {label}", rewards, f"{prefix}{member}", LOSS)
        _, scale = regularized(config, *given, 0.0)
        automatic = f"lambda_auto_{config.similarity.scale_initial:g}"
        compare.value(f"first lambda by {label}", scale, f"{prefix}{automatic}", LOSS)
    found = similarity(config, case)
    compare.value(f"similarity by {config.similarity.expert}", found, f"{prefix}similarity", LOSS)
    return found


@cases("similarity")
def test_similarity_is_to_the_mean_of_shares_by_default(compare, name):
    """Eq. 8, in float64, and as far from the published share of the mean as Eq. 8 is."""
    case, found = compare.case, compare_similarity(compare, "", "paper/")
    size = relative(case["paper/similarity"], case["similarity"])
    error = relative(found, case["similarity"])
    compare.departs("similarity by mean, from mean_scores", error, size - LOSS, size + LOSS)


@cases("similarity")
def test_the_published_similarity_is_to_the_share_of_the_mean(compare, name):
    compare_similarity(compare, "+published")
