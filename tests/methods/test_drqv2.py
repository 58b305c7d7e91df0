"""DrQ-v2's numbers over time: the paper's noise, the cloning term's weight, and the slow target."""

import jax
import numpy as np
import pytest

from patchail_jax.devices.data_parallel import Devices, fetch
from patchail_jax.methods.cloning_weight import scheduled
from patchail_jax.methods.drqv2 import make_learner
from patchail_jax.run.config import paper_config
from tests.small import SPECS, for_devices, make_batch, make_method


@pytest.fixture(scope="module")
def learner():
    config = paper_config("cheetah_run").to_dict()
    return make_learner(SPECS, {**config, "cloning": {**config["cloning"], "weight_initial": 1.0}})


@pytest.mark.parametrize(("step", "expected"), [(0, 1.0), (250_000, 0.55), (500_000, 0.1), (900_000, 0.1)])
def test_exploration_schedule(learner, step, expected):
    np.testing.assert_allclose(learner.std_at(np.int32(step)), expected, rtol=1e-6)


@pytest.mark.parametrize(("update", "step", "expected"), [(0, 6_000, 1 - 0.99 * 6 / 400), (300_000, 606_000, 0.01)])
def test_the_cloning_weight_counts_agent_steps(learner, update, step, expected):
    state = jax.eval_shape(learner.init, jax.random.PRNGKey(0)).replace(update=np.int32(update))
    assert learner.agent_step(state) == step
    np.testing.assert_allclose(scheduled(learner.cloning)(learner.agent_step(state)), expected, rtol=1e-5)


def test_the_target_follows_the_critic_by_the_target_rate():
    devices = Devices(make_method("drqv2", agent__target_rate=0.25), SPECS, count=1)
    before = fetch(devices.init(0))
    after = fetch(devices.update(devices.init(0), for_devices([make_batch()], 1))[0])
    expected = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, before.target_critic, after.critic["critic"])
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-7), after.target_critic, expected)
    moved = jax.tree.map(lambda old, new: np.abs(old - new).max(), before.target_critic, after.target_critic)
    assert max(jax.tree.leaves(moved)) > 1e-5
