"""PatchAIL's update: what it optimises and what it does not touch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.devices.data_parallel import Devices, fetch
from patchail_jax.maps.explainer import Explainer
from patchail_jax.types import Batch
from tests.small import SPECS, for_devices, make_batch, make_method

pytestmark = pytest.mark.usefixtures("shared_programs")


def black_against_white(seed: int) -> Batch:
    """Experts are bright, the agent is dark: a discriminator has an easy life."""
    batch = make_batch(seed)
    agent = batch.agent._replace(frames=(batch.agent.frames // 4).astype(np.uint8))
    expert = batch.expert._replace(frames=(192 + batch.expert.frames // 4).astype(np.uint8))
    return batch._replace(agent=agent, expert=expert)


def test_the_discriminator_learns_to_tell_expert_from_agent():
    method = make_method(discriminator__learning_rate=3e-3)
    learner = Devices(method, SPECS, count=1)
    state = learner.init(0)
    for call in range(30):
        state, metrics = learner.update(state, for_devices([black_against_white(call)], 1))
    named = dict(zip(metrics.names, np.asarray(metrics.values), strict=True))
    assert named["discriminator/accuracy"] > 0.95
    assert named["discriminator/expert_logit"] > 0 > named["discriminator/agent_logit"]
    assert named["reward/mean"] < 0  # AIRL: the agent's mean logit
    bright, dark = np.full((2, 9, 24, 24, 3), [[[[[224]]]], [[[[32]]]]], np.uint8)
    explainer = Explainer(method.discriminator, learner, image_size=24)
    assert explainer.patch_rewards(state, bright).mean() > explainer.patch_rewards(state, dark).mean()


# Each choice once, and each form with one aggregation: their product is tested equation by equation.
@pytest.mark.parametrize(
    ("form", "aggregation", "overrides"),
    [
        ("airl", "median", {"discriminator__kernel_size": 1, "discriminator__augmentation": "none"}),
        ("gail", "max", {"discriminator__kernel_size": 5, "discriminator__agent_successor": "n_step"}),
        ("gail_log_d", "min", {"discriminator__observation": "single", "network__precision": "bfloat16"}),
        ("fairl", "mean", {"discriminator__architecture": "transformer"}),
    ],
)
def test_every_choice_updates_to_finite_numbers(form, aggregation, overrides):
    method = make_method(reward__form=form, reward__aggregation=aggregation, **overrides)
    learner = Devices(method, SPECS, count=1)
    state, metrics = learner.update(learner.init(0), for_devices([make_batch()], 1))
    assert np.isfinite(np.asarray(metrics.values)).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fetch(state)))
    assert {leaf.dtype for leaf in jax.tree.leaves(fetch(state).discriminator.params)} == {np.dtype(np.float32)}


def test_stored_rewards_matter_only_at_episode_end():
    def targets(moment: str, rewards: float) -> float:
        learner = Devices(make_method(reward__moment=moment), SPECS, count=1)
        batch = make_batch()
        batch = batch._replace(agent=batch.agent._replace(rewards=np.full((8, 3), rewards, np.float32)))
        _, metrics = learner.update(learner.init(0), for_devices([batch], 1))
        return dict(zip(metrics.names, np.asarray(metrics.values), strict=True))["critic/target"]

    assert targets("at_update", 0.0) == targets("at_update", 5.0)
    gained = targets("at_episode_end", 5.0) - targets("at_episode_end", 0.0)
    np.testing.assert_allclose(gained, 5 * (1 + 0.99 + 0.99**2), rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("patchail", {}),
        ("patchail", {"discriminator__observation": "single"}),
        ("patchail", {"discriminator__architecture": "transformer"}),
        ("shared_encoder_ail", {}),
        ("independent_encoder_ail", {"discriminator__observation": "single"}),
    ],
)
def test_rewards_at_update_are_the_episode_s_scores_of_the_same_steps(name, overrides):
    """The windows' rewards, read off the critic's targets where episodes end with the window, equal the judge's."""
    still = {"agent__discount": 1.0, "discriminator__optimizer": "sgd", "discriminator__learning_rate": 0.0}
    method = make_method(name, reward__moment="at_update", **still, **overrides)
    learner = Devices(method, SPECS, count=1)
    state = learner.init(0)
    batch = make_batch()
    ends = np.ones_like(batch.agent.discounts)
    ends[:, -1] = 0.0
    batch = batch._replace(agent=batch.agent._replace(discounts=ends))
    judge = method.discriminator
    logits = [judge.examine(state, frames, {})[0] for frames in batch.agent.frames]
    expected = [float(jnp.sum(jnp.mean(judge.patch_rewards(one), axis=(1, 2)))) for one in logits]
    _, metrics = learner.update(state, for_devices([batch], 1))
    target = dict(zip(metrics.names, np.asarray(metrics.values), strict=True))["critic/target"]
    np.testing.assert_allclose(target, np.mean(expected), rtol=1e-4)


def test_exploration_is_uniform_at_first_and_noisy_around_the_mean_later():
    learner = Devices(make_method(agent__std_final=0.01), SPECS, count=1)
    parameters, root = learner.publish(learner.init(0)), learner.acting_root(0)
    observations = np.repeat(make_batch().agent.frames[:1, 0], 400, axis=0)
    observations = np.concatenate([observations, observations], axis=-1)
    mean = learner.exploit(parameters, observations)[0]
    early = learner.explore(parameters, observations, root, 0, 0)
    late = learner.explore(parameters, observations, root, 0, 10_000)
    assert np.abs(early).max() > 0.97 and abs(early.mean()) < 0.1
    np.testing.assert_allclose(late.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(late.std(axis=0), 0.01, rtol=0.2)
