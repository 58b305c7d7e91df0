"""Whole updates by the paper's config against the paper written out: every equation in its place, every value at its.

``plain_update`` is the paper, ``plain_networks`` what makes it short.
"""

import dataclasses

import jax
import numpy as np
import pytest

from tests.methods import plain_update
from tests.methods.plain_networks import SPECS, compiled, config_of, make, plain_networks
from tests.small import make_batch

__all__ = ["plain_networks"]

CASES = {
    "patchail": {},
    "patchail+published": {},
    "patchail_w": {},
    "patchail_b": {"reward__form": "gail", "cloning__weight_initial": 0.8},
    "patchail_w+published": {"similarity__expert": "nearest", "reward__aggregation": "median"},
    "patchail_b+published": {"similarity__expert": "mean_logits", "similarity__distribution": "softmax"},
}


def make_pixels(seed):
    """A batch of pixels that augmentation cannot take past 255, some windows of which end."""
    batch = make_batch(seed, demonstration=5, specs=SPECS)
    rng = np.random.default_rng(seed)

    def darker(frames):  # and no two frames alike, or one in another's place would not be seen
        return (frames // 4 + rng.integers(0, 150, (*frames.shape[:2], 1, 1, frames.shape[-1]))).astype(np.uint8)

    discounts = np.ones((8, 3), np.float32)
    discounts[1, 0] = discounts[2, 1] = discounts[3, 2] = discounts[4, :2] = 0.0
    agent = batch.agent._replace(frames=darker(batch.agent.frames), discounts=discounts)
    expert = batch.expert._replace(frames=darker(batch.expert.frames))
    return batch._replace(agent=agent, expert=expert, demonstration=darker(batch.demonstration))


def parameters(state):
    learner = state.learner
    trained = {field: getattr(learner, field) for field in ("critic", "actor", "target_critic")}
    return {"discriminator": state.discriminator.params, **trained}


@pytest.mark.parametrize("name", CASES)
def test_two_updates_are_those_of_the_paper(name, plain_networks):
    config = config_of(name, **CASES[name])
    method, groups = make(config), config.to_dict()
    update, state = compiled(method.update), method.init(jax.random.PRNGKey(0))
    for seed in range(2):
        batch = make_pixels(seed)
        expected, numbers = plain_update.update(groups, state, batch)
        before = parameters(state)
        state, metrics = update(state, batch)
        for part, wanted in expected.items():
            (old, new, wanted) = (jax.tree.leaves(tree) for tree in (before[part], parameters(state)[part], wanted))
            for one, other, start in zip(new, wanted, old, strict=True):
                change = np.abs(other - start).max()
                assert change > 1e-4, f"{part} does not move: the comparison says nothing"
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3 * change, err_msg=f"{part}, {seed}")
        for key, number in numbers.items():
            np.testing.assert_allclose(metrics[key], number, rtol=1e-4, err_msg=f"{key}, {seed}")
        assert ("reward/similarity" in metrics) == ("reward/similarity" in numbers)


@pytest.mark.parametrize("aggregation", ["mean", "max", "min", "median"])
@pytest.mark.parametrize("form", ["airl", "gail", "gail_log_d", "fairl"])
def test_an_episode_is_scored_by_the_config_s_form_and_aggregation(form, aggregation, plain_networks):
    config = config_of("patchail+published", reward__form=form, reward__aggregation=aggregation, reward__scale=0.3)
    method, groups = make(config), config.to_dict()
    state = method.init(jax.random.PRNGKey(0))
    frames = make_pixels(0).demonstration[:, 0]
    pairs = np.concatenate([frames[:-2], frames[1:-1], frames[1:-1], frames[2:]], axis=-1)
    wanted = plain_update.patch_rewards(groups, plain_update.judge(state.discriminator.params, pairs))
    np.testing.assert_allclose(method.discriminator.patch_rewards(state, frames), wanted, rtol=1e-4)
    same, scores = method.label(state, frames, None)
    np.testing.assert_allclose(scores, plain_update.aggregated(groups, wanted), rtol=1e-4)
    assert same is state


def test_lambda_is_set_once(plain_networks):
    method = make(config_of("patchail_w"))
    update, state = compiled(method.update), method.init(jax.random.PRNGKey(0))
    scales, means = [], []
    for seed in range(3):
        state, metrics = update(state, make_pixels(seed))
        scales.append(metrics["reward/similarity_scale"])
        means.append(metrics["reward/similarity"])
    assert scales[0] == scales[1] == scales[2] and len(set(map(float, means))) == 3
    np.testing.assert_allclose(scales[0], 1.3 / means[0], rtol=1e-5)
    assert float(state.similarity_scale) == scales[0]
    given, _ = update(dataclasses.replace(state, similarity_scale=np.float32(2.5)), make_pixels(0))
    assert float(given.similarity_scale) == 2.5
