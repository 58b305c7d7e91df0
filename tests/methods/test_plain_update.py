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
    "patchail_b": {"reward__form": "gail", "cloning__weight_initial": 0.8, "discriminator__expert_successor": "n_step"},
    "patchail_w+published": {"similarity__expert": "nearest", "reward__aggregation": "median"},
    "patchail_b+published": {"similarity__expert": "mean_logits", "similarity__distribution": "softmax"},
}


def make_pixels(seed, expert_steps=1):
    """A batch of pixels that augmentation cannot take past 255, some windows of which end."""
    batch = make_batch(seed, demonstration=5, specs=SPECS, expert_steps=expert_steps)
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


def assert_changed(before, after, expected):
    """``after`` is ``expected``, to a thousandth of what changed; and everything changed."""
    for part, wanted in expected.items():
        for start, one, other in zip(*map(jax.tree.leaves, (before[part], after[part], wanted)), strict=True):
            change = np.abs(other - start).max()
            assert change > 1e-4, f"{part} does not move: the comparison says nothing"
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-3 * change, err_msg=part)


@pytest.mark.parametrize("name", CASES)
def test_two_updates_are_those_of_the_paper(name, plain_networks):
    config = config_of(name, **CASES[name])
    method, groups = make(config), config.to_dict()
    update, state = compiled(method.update), method.init(jax.random.PRNGKey(0))
    for seed in range(2):
        batch = make_pixels(seed, method.needs.expert_steps)
        expected, numbers = plain_update.update(groups, state, batch)
        before = parameters(state)
        state, metrics = update(state, batch)
        assert_changed(before, parameters(state), expected)
        for key, number in numbers.items():
            np.testing.assert_allclose(metrics[key], number, rtol=1e-4, err_msg=f"{key}, {seed}")
        assert ("reward/similarity" in metrics) == ("reward/similarity" in numbers)


@pytest.mark.parametrize("aggregation", ["mean", "max", "min", "median"])
@pytest.mark.parametrize("form", ["airl", "gail", "gail_log_d", "fairl"])
@pytest.mark.parametrize("order", ["form_first", "aggregation_first"])
def test_an_episode_is_scored_by_the_config_s_form_and_aggregation(order, form, aggregation, plain_networks):
    rewards = {"reward__form": form, "reward__aggregation": aggregation, "reward__scale": 0.3, "reward__order": order}
    config = config_of("patchail+published", **rewards)
    method, groups = make(config), config.to_dict()
    state = method.init(jax.random.PRNGKey(0))
    frames = make_pixels(0).demonstration[:, 0]
    pairs = np.concatenate([frames[:-2], frames[1:-1], frames[1:-1], frames[2:]], axis=-1)
    logits = plain_update.judge(state.discriminator.params, pairs)
    wanted = plain_update.patch_rewards(groups, logits)
    np.testing.assert_allclose(method.discriminator.patch_rewards(logits), wanted, rtol=1e-4)
    same, scores = method.label(state, frames, None)
    np.testing.assert_allclose(scores, plain_update.step_rewards(groups, logits), rtol=1e-4)
    np.testing.assert_allclose(method.discriminator.rewards(logits), scores, rtol=1e-4)
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


def learned(state):
    return {field: getattr(state, field) for field in ("critic", "actor", "target_critic")}


def test_the_expert_learns_from_the_task_s_rewards_alone(plain_networks):
    config = config_of("drqv2", reward__scale=0.3, cloning__weight_initial=0.5)
    method, groups, batch = make(config), config.to_dict(), make_pixels(0)
    groups["cloning"]["weight_initial"] = 0.0  # nothing to clone
    state = method.init(jax.random.PRNGKey(0))
    expected, targets = plain_update.learn(groups, state, batch, 0.3 * batch.agent.rewards)
    after, metrics = compiled(method.update)(state, batch)
    assert_changed(learned(state), learned(after), expected)
    np.testing.assert_allclose(metrics["critic/target"], targets.mean(), rtol=1e-4)


def test_behaviour_cloning_is_a_step_of_likelihood(plain_networks):
    config = config_of("bc", agent__actor_learning_rate=0.7)
    method, batch = make(config), make_pixels(0)
    state = method.init(jax.random.PRNGKey(0))
    after, metrics = compiled(method.update)(state, batch)
    assert_changed(state.policy, after.policy, plain_update.clone(config.to_dict(), state.policy, batch))
    assert int(after.update) == 1 and metrics["cloning/action_error"] > 0


@pytest.mark.parametrize("filter_features", ["online", "reference"])
def test_rot_clones_where_the_frozen_policy_is_better(filter_features, plain_networks):
    config = config_of(
        "rot",
        cloning__pretraining_updates=1,
        agent__actor_learning_rate=0.7,
        agent__preactivation_penalty=0.01,
        optimal_transport__filter_features=filter_features,
    )
    method, groups = make(config), config.to_dict()
    state, batch = method.init(jax.random.PRNGKey(0)), make_pixels(0)
    cloned = plain_update.clone(groups, method.publish(state), batch)
    before, (state, _) = method.publish(state), compiled(method.pretrain)(state, batch)
    for policy in (method.publish(state), state.reference, state.target):
        assert_changed(before, policy, cloned)

    factors = {"encoder": 0.5, "actor": 0.3}  # another one than the learner's own and the target's
    reference = {
        part: jax.tree.map(lambda leaf, factor=factor: factor * leaf, state.reference[part])
        for part, factor in factors.items()
    }
    state = dataclasses.replace(state, reference=reference)
    groups["agent"]["first_update_step"] -= 2  # counted from after the pre-training
    update, weights, targets = compiled(method.update), [], []

    def weigh(critic, observations, features, actions):
        frozen = plain_update.encode(reference["encoder"], observations)
        asked = (frozen if filter_features == "reference" else features, plain_update.act(reference["actor"], frozen))
        worth = [np.min(plain_update.value(critic, *ones), axis=0) for ones in (asked, (features, actions))]
        weights.append(np.mean(worth[0] > worth[1]))
        return weights[-1]

    for seed in (1, 2, 3):
        batch, start = make_pixels(seed), state.learner
        expected, _ = plain_update.learn(groups, start, batch, batch.agent.rewards, weigh)
        state, metrics = update(state, batch)
        assert_changed(learned(start), learned(state.learner), expected)
        assert metrics["cloning/weight"] == weights[-1]
        newest = jax.tree.map(lambda one, other: bool((one == other).all()), state.target, method.publish(state))
        targets.append(all(jax.tree.leaves(newest)))
    assert 0 < min(weights) < max(weights) < 1
    assert targets == [True, True, False]  # updates at steps 10, 12, 14; a target every 3
    for one, other in zip(*map(jax.tree.leaves, (reference, state.reference)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rot_takes_the_closest_demonstration_and_the_first_episode_s_unit(plain_networks):
    method = make(config_of("rot", optimal_transport__first_sum=4.0))
    state, label = method.init(jax.random.PRNGKey(0)), jax.jit(method.label)
    episodes = np.stack([make_pixels(seed).agent.frames[0] for seed in range(3)])
    state, first = label(state, episodes[0], (4, episodes[1:], np.asarray([4, 4])))
    np.testing.assert_allclose(first.sum(), -4, rtol=1e-4)
    again, second = label(state, episodes[0], (4, episodes[1:2], np.asarray([4])))
    _, third = label(state, episodes[0], (4, episodes[2:], np.asarray([4])))
    assert float(again.reward_scale) == float(state.reward_scale)
    np.testing.assert_allclose(max(second.sum(), third.sum()), first.sum(), rtol=1e-3)
    assert abs(second.sum() - third.sum()) > 1e-3
    _, own = label(state, episodes[1], (4, episodes[1:], np.asarray([4, 4])))
    assert abs(own.sum()) < 0.05 * abs(min(second.sum(), third.sum()))


def test_exploration_is_uniform_at_first_and_then_noisy_without_a_clip(plain_networks):
    method = make(config_of("patchail", agent__random_steps=4, agent__std_duration=10, agent__std_final=0.2))
    policy, explore = method.publish(method.init(jax.random.PRNGKey(0))), jax.jit(method.explore)
    observations = np.repeat(plain_update.stack(make_pixels(0).agent.frames[:1], 0), 4000, axis=0)
    dim = {**policy, "actor": jax.tree.map(lambda leaf: 0 * leaf, policy["actor"])}  # whose mean is 0
    np.testing.assert_array_equal(method.exploit(dim, observations), 0)
    for step, std in ((3, 12**-0.5 * 2), (10, 0.2), (20, 0.2)):
        actions = np.asarray(explore(dim, observations, jax.random.PRNGKey(1), step))
        np.testing.assert_allclose(actions.std(), std, rtol=0.05)
        assert (np.abs(actions).max() > 0.6) and abs(actions.mean()) < 0.02
    mean = np.asarray(method.exploit(policy, observations[:1]))
    assert np.abs(mean).max() > 0.05
    near = explore(policy, observations, jax.random.PRNGKey(1), 20)
    np.testing.assert_allclose(np.median(near, axis=0), mean[0], atol=0.02)


def test_every_optimizer_remembers(plain_networks):
    method = make(config_of("patchail", agent__optimizer="adam", discriminator__optimizer="adam"))
    state, update = method.init(jax.random.PRNGKey(0)), compiled(method.update)
    for seed in range(2):
        state, _ = update(state, make_pixels(seed))
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    assert [int(leaf) for path, leaf in leaves if ".count" in jax.tree_util.keystr(path)] == [2, 2, 2]
    assert int(state.learner.update) == 2


def test_methods_say_what_they_read():
    def needs(name, **changed):
        method = make(config_of(name, **changed))
        return method.needs.demonstration, method.needs.actions, method.label is not None

    assert needs("patchail_w") == needs("patchail") == (False, False, False)
    assert needs("patchail_w+published") == (True, False, True)
    assert needs("patchail+published", cloning__weight_initial=0.5) == (False, True, True)
    assert make(config_of("drqv2")).needs.task_reward and not make(config_of("patchail")).needs.task_reward
