"""The methods beside PatchAIL: the same on any number of devices, and what each learns from what."""

import dataclasses

import jax
import numpy as np
import pytest

from patchail_jax.devices.data_parallel import Devices, fetch
from tests.devices.test_data_parallel import DISCRIMINATOR_SGD, SGD, assert_same
from tests.small import LAIFO, SPECS, for_devices, make_batch, make_method

SETTINGS = {
    "shared_encoder_ail": {"reward__moment": "at_episode_end", "discriminator__observation": "single"},
    "independent_encoder_ail": {"reward__moment": "at_update", "cloning__weight_initial": 1.0},
    "laifo": LAIFO,
    "bc": {"agent__actor_learning_rate": 1e-3},
    "bco": {"agent__actor_learning_rate": 1e-3},
    "rot": {},
    "drqv2_features": {},
}
CALLS = 2


def specs_of(name):
    return SPECS._replace(feature_count=5) if name == "drqv2_features" else SPECS


@pytest.fixture(scope="module")
def one_device():
    """Each method once, compiled once."""
    made = {}

    def get(name):
        if name not in made:
            specs = specs_of(name)
            method = make_method(name, specs=specs, **{**SGD, **DISCRIMINATOR_SGD, **SETTINGS[name]})
            made[name] = Devices(method, specs, count=1)
        return made[name]

    return get


def named(metrics):
    return dict(zip(metrics.names, np.asarray(metrics.values), strict=True))


def updated(learner, name, *, calls=CALLS, change=lambda batch: batch):
    state = learner.init(0)
    apart = learner._method.needs.expert_steps
    for call in range(calls):
        batch = change(make_batch(call, specs=specs_of(name), expert_steps=apart))
        state, metrics = learner.update(state, for_devices([batch], learner.count))
    return fetch(state), named(metrics)


def moved(one, other):
    return max(float(np.abs(a - b).max()) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def other_experts(batch):
    return batch._replace(expert=make_batch(99).expert)


@pytest.mark.parametrize("name", SETTINGS)
def test_one_and_four_devices_give_the_same_parameters(one_device, name):
    first = one_device(name)
    four = Devices(first._method, specs_of(name), count=4)
    (one_state, one), (four_state, other) = updated(first, name), updated(four, name)
    assert_same(one_state, four_state)
    start = fetch(first.init(0))
    before, after = ({**vars(state), **vars(getattr(state, "learner", state))} for state in (start, one_state))
    for field in {"discriminator", "critic", "actor", "target_critic", "policy", "inverse"} & before.keys():
        assert moved(before[field], after[field]) > 1e-7, f"{field} did not move"
    for key, value in one.items():
        assert np.isfinite(value), key
        np.testing.assert_allclose(other[key], value, rtol=1e-3, atol=1e-4, err_msg=key)


def test_the_shared_encoder_is_the_critic_s_alone(one_device):
    """The experts reach the discriminator, and through detached features and stored rewards nothing else."""
    learner = one_device("shared_encoder_ail")
    state, _ = updated(learner, "shared_encoder_ail")
    other, _ = updated(learner, "shared_encoder_ail", change=other_experts)
    trained, others = state.discriminator.params, other.discriminator.params
    assert trained.keys() == {"head"} and moved(trained, others) > 1e-5
    state, other = state.learner, other.learner
    assert moved(state.critic, other.critic) == moved(state.actor, other.actor) == 0


def test_an_independent_encoder_learns_from_the_experts(one_device):
    learner = one_device("independent_encoder_ail")
    start = fetch(learner.init(0))
    state, _ = updated(learner, "independent_encoder_ail", calls=1)
    other, _ = updated(learner, "independent_encoder_ail", calls=1, change=other_experts)
    first, trained, others = (one.discriminator.params["features"] for one in (start, state, other))
    assert moved(first, trained) > 1e-5 and moved(others, trained) > 1e-5
    assert moved(start.learner.critic["encoder"], first["params"]["encoder"]) > 0.1


@pytest.mark.parametrize("name", ["shared_encoder_ail", "independent_encoder_ail"])
def test_an_encoder_s_discriminator_can_be_explained(one_device, name):
    method, state = one_device(name)._method, one_device(name).init(0)
    frames = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3), dtype=np.uint8)
    judge = method.discriminator
    logits, activations = judge.examine(state, frames, {})
    np.testing.assert_allclose(judge.patch_rewards(logits), logits, rtol=1e-5)  # AIRL: the reward is the logit
    assert logits.shape == (6, 1, 1) and {a.shape[0] for a in activations.values()} == {6}
    last = list(activations)[-1]
    shifted, _ = judge.examine(state, frames, {last: 0.5 * np.ones_like(activations[last])})
    assert moved(logits, shifted) > 1e-4
    if method.label is not None:
        np.testing.assert_allclose(method.label(state, frames, None)[1], logits[:, 0, 0], rtol=1e-5)


def test_cloning_is_annealed_beside_the_policy_s_loss(one_device):
    name = "independent_encoder_ail"
    for calls, step in ((1, 10), (2, 12)):  # of 100
        _, metrics = updated(one_device(name), name, calls=calls)
        np.testing.assert_allclose(metrics["cloning/weight"], 1 - step / 100 * 0.99, rtol=1e-5)


def test_behaviour_cloning_makes_the_expert_s_actions_likelier(one_device):
    learner = one_device("bc")
    state, batch = learner.init(0), for_devices([make_batch()], 1)
    likelihoods = []
    for _ in range(40):
        state, metrics = learner.update(state, batch)
        likelihoods.append(named(metrics)["cloning/log_likelihood"])
    assert likelihoods[-1] > likelihoods[0] + 10


@pytest.fixture(scope="module")
def episodes():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (3, 10, 24, 24, 3), dtype=np.uint8)


def test_rot_scores_the_first_episode_to_ten_and_the_expert_s_own_to_zero(one_device, episodes):
    learner = one_device("rot")
    state, first = learner.label(learner.init(0), episodes[0], (episodes[1:], np.asarray([9, 9])))
    scale = float(state.reward_scale)
    np.testing.assert_allclose(first.sum(), -10, rtol=1e-4)
    state, second = learner.label(state, episodes[1], (episodes[1:], np.asarray([9, 5])))
    np.testing.assert_allclose(second, 0, atol=1e-3)  # the closest demonstration is itself
    assert float(state.reward_scale) == scale and first.shape == second.shape == (9,)


@pytest.mark.parametrize("first_observation", [False, True])
def test_rot_compiles_once_for_episodes_of_every_length_and_scores_them_as_they_are(episodes, first_observation):
    exact, padding = (
        Devices(make_method("rot", optimal_transport__first_observation=first_observation), SPECS, count=1)
        for _ in range(2)
    )
    demonstrations = (episodes[1:], np.asarray([9, 7]))
    for length in (9, 4, 7):
        frames = episodes[0, : length + 1]
        _, wanted = exact.label(exact.init(0), frames, demonstrations)
        _, rewards = padding.label(padding.init(0), frames, demonstrations, longest=9)
        assert rewards.shape == (length,)
        np.testing.assert_allclose(rewards, wanted, rtol=1e-4)
        np.testing.assert_allclose(rewards.sum(), -10, rtol=1e-4)
    assert (exact._label._cache_size(), padding._label._cache_size()) == (3, 1)


def test_rot_compares_what_the_target_s_trunk_sees_as_the_published_program_does(episodes):
    method = make_method("rot", optimal_transport__features="trunk", optimal_transport__first_sum=1.0)
    state = method.init(jax.random.PRNGKey(0))
    label, demonstrations = jax.jit(method.label), (np.asarray(9), episodes[1:], np.asarray([9, 9]))
    _, plain = label(state, episodes[0], demonstrations)
    np.testing.assert_allclose(plain.sum(), -1, rtol=1e-4)

    # A trunk that sees one thing alone finds every two observations alike; the encoder before it would not.
    blind = jax.tree.map(np.array, state.target)
    trunk = blind["actor"]["params"]["trunk"]
    trunk["projection"]["kernel"][:], trunk["norm"]["bias"][:] = 0, 1
    state = dataclasses.replace(state, target=blind, reward_scale=1.0)
    _, alike = label(state, episodes[0], demonstrations)
    np.testing.assert_allclose(alike, 0, atol=1e-5)


def test_rot_starts_from_behaviour_cloning_and_refreshes_its_target(one_device):
    learner = one_device("rot")
    state = learner.init(0)
    start = fetch(state)
    state, metrics = learner.pretrain(state, for_devices([make_batch(0, batch=0)], 1))
    assert "cloning/log_likelihood" in metrics.names
    cloned = fetch(state)
    first, learned = start.learner, cloned.learner
    assert moved(first.actor, learned.actor) > 0 and moved(first.critic["encoder"], learned.critic["encoder"]) > 0
    assert moved(cloned.reference["actor"], learned.actor) == 0
    assert moved(cloned.target["encoder"], learned.critic["encoder"]) == 0
    # Updates are due at steps 10, 12, ...; the target every 20 steps.
    later = dataclasses.replace(learned, update=np.asarray(4, np.int32))
    state = learner.place(dataclasses.replace(cloned, learner=later))
    for refreshed in (False, True):
        state, _ = learner.update(state, for_devices([make_batch(1)], 1))
        now = fetch(state)
        assert (moved(now.target["encoder"], now.learner.critic["encoder"]) == 0) == refreshed
        assert (moved(now.target["actor"], now.learner.actor) == 0) == refreshed
    assert moved(now.reference, cloned.reference) == 0
