"""Optimal-transport rewards: from features, and from an episode's frames."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from patchail_jax.equations.optimal_transport import cosine_cost, transport_rewards, unit
from patchail_jax.run.config import paper_config
from tests.parity.golden import FORWARD, TRANSPORT, cases, relative
from tests.parity.program import TASK, blank_state, build, default, replaced


@cases("transport")
def test_rewards_of_features(compare, name):
    a, transport = compare.case.inputs, paper_config(TASK, "rot+published").optimal_transport
    cost = cosine_cost(*(unit(jnp.asarray(a[side])) for side in ("episode", "demonstration")))
    compare.tensors("cosine cost", "cost", np.asarray(cost), FORWARD)
    sinkhorn = {"epsilon": transport.epsilon, "iterations": transport.iterations}
    rewards = np.asarray(jax.jit(functools.partial(transport_rewards, **sinkhorn))(cost))
    compare.value("rewards", rewards, "rewards", TRANSPORT)
    compare.value("sum of the rewards", rewards.sum(dtype=np.float64), "sum", TRANSPORT)


def rewards_of_episode(case, **fields):
    """Not scaled."""
    method = build("rot+published", case.spec, cloning__pretraining_updates=0, **fields).method
    state = replaced(blank_state(method), target=case.tree("target"), reward_scale=np.float32(1))
    demonstrations = case.inputs["demonstrations"]
    steps = np.full(len(demonstrations), case.spec["steps"])
    return np.asarray(
        jax.jit(method.label)(state, case.inputs["frames"], (case.spec["steps"], demonstrations, steps))[1]
    )


@cases("transported_episode")
def test_an_episode_s_first_observation_is_not_transported_by_default(compare, name):
    case = compare.case
    rewards = rewards_of_episode(case, **default("rot", "optimal_transport__first_observation"))
    compare.value("rewards of s_1 .. s_T", rewards, "rewards_of_successors", TRANSPORT)
    published = case["their_rewards_with_s_0"][1:]
    size = relative(case["rewards_of_successors"], published)
    error = relative(rewards, published)
    compare.departs("rewards without s_0, from those with it", error, size - TRANSPORT, size + TRANSPORT)


@cases("transported_episode")
def test_an_episode_s_first_observation_is_transported_as_published(compare, name):
    rewards = rewards_of_episode(compare.case)
    compare.error(
        "rewards with s_0", relative(rewards, compare.case["their_rewards_with_s_0"][-len(rewards) :]), TRANSPORT
    )
