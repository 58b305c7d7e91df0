"""LAIfO's update written out, each of its switches alone, and Shared-Encoder AIL with all of them off."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.devices.data_parallel import Devices
from patchail_jax.errors import UserError
from patchail_jax.maps.explainer import Explainer
from patchail_jax.methods import drqv2, encoder_ail
from patchail_jax.networks import feature_discriminator
from patchail_jax.run.config import paper_config
from patchail_jax.run.presets import PRESETS
from patchail_jax.run.sizes import expert_batch_size
from patchail_jax.updates.prepare_batch import sample_keys
from tests.equations.plain_gradient_penalty import plain_gradient_penalty
from tests.methods import plain_update
from tests.methods.plain_networks import SPECS, Critic, Encoder, compiled, config_of, make, plain_networks, weights
from tests.methods.test_plain_update import assert_changed, make_pixels, parameters
from tests.small import LAIFO, groups_of, make_method
from tests.small import SPECS as SMALL

__all__ = ["plain_networks"]

N = SPECS.n_step
# Those that change an update: rates are the tests', and at_update is the default.
SWITCHES = PRESETS["laifo"].keys() - {
    "replay.capacity", "replay.expert_batch_size", "discriminator.learning_rate", "reward.moment",
}  # fmt: skip


class EncoderWithTrunk(Encoder):
    """The plain encoder with other numbers."""

    def init(self, key, pixels):
        return jax.tree.map(lambda leaf: 0.7 * leaf, super().init(key, pixels))


class LatentCritic(Critic):
    """The plain critic; where it has a trunk of its own, its latent is the features times a part of its parameters."""

    def __init__(self, _size, _hidden, _dtype, own_trunk):
        self.own_trunk = own_trunk

    def apply(self, params, features, actions=None, *, method=None):
        if method == "latent":
            return features * params["critic"][None, : features.shape[-1], 0] if self.own_trunk else features
        return super().apply(params, features, actions)


class FeatureDiscriminator:
    """A parabola of the features, about 0 for those of the pixels here: ``[B,1,1]``."""

    def __init__(self, *_):
        pass

    def init(self, key, features):
        return {"slope": jnp.asarray(weights(features.shape[-1])), "curve": jnp.asarray(weights(features.shape[-1], 1))}

    def apply(self, params, features):
        logits = 2.0 * features @ params["slope"] + (features @ params["curve"])[:, 0] ** 2 - 4.2
        return logits[:, None, None]


@pytest.fixture
def features(plain_networks, monkeypatch):
    """The plain networks, with an encoder that has a trunk in it, and a discriminator of features."""
    monkeypatch.setattr(drqv2, "ImageFeatures", EncoderWithTrunk)
    monkeypatch.setattr(drqv2, "Critic", LatentCritic)
    monkeypatch.setattr(encoder_ail, "FeatureDiscriminator", FeatureDiscriminator)


def settings(name, **changed):
    """The tests' numbers; at their rates this discriminator would jump from one side to the other."""
    return config_of(name, **{"discriminator__learning_rate": 0.02, "reward__scale": 0.3, **changed})


def batch_of(config, seed=0):
    """``make_pixels``; expert pairs that are n steps apart are as many as the agent's."""
    batch = make_pixels(seed)
    if config.discriminator.expert_successor == "one_step":
        return batch
    other = make_pixels(seed + 50)
    expert = batch.expert._replace(frames=other.agent.frames, actions=other.agent.actions)
    return batch._replace(expert=expert, expert_index=other.sample_index)


def test_an_update_is_the_paper_s(features):
    config = settings("laifo")
    groups, method = config.to_dict(), make(config)
    state = method.init(jax.random.PRNGKey(0))
    assert method.needs.expert_steps == N and set(state.learner.critic["encoder"]) == {"encoder"}
    update, rewarded = compiled(method.update), []
    for seed in range(2):
        batch, encoder = batch_of(config, seed), state.learner.critic["encoder"]

        def z(frames, encoder=encoder):
            pad = groups["discriminator"]["augmentation_pad"]
            stacks = (plain_update.stack(frames, 0, pad), plain_update.stack(frames, N, pad))
            return jnp.concatenate([plain_update.encode(encoder, stack) for stack in stacks], axis=-1)

        expert, agent = z(batch.expert.frames), z(batch.agent.frames)
        assert len(expert) == len(agent) == 8
        keys = jax.random.split(jax.random.fold_in(state.learner.key, state.learner.update), 5)
        mix = jax.vmap(jax.random.uniform)(sample_keys(keys[2], jnp.asarray(batch.expert_index)))[:, None]
        judge = FeatureDiscriminator().apply

        def loss(params, expert=expert, agent=agent, between=mix * expert + (1 - mix) * agent, judge=judge):
            def is_expert(x):
                return jax.nn.sigmoid(judge(params, x))

            weight = groups["discriminator"]["penalty_weight"]
            penalty, _ = plain_gradient_penalty(is_expert, between, weight=weight)
            return -jnp.mean(jnp.log(is_expert(expert))) - jnp.mean(jnp.log(1 - is_expert(agent))) + penalty

        before = state.discriminator.params["head"]
        judged = plain_update.descend(loss, before, groups["discriminator"]["learning_rate"])
        earned = np.zeros((8, N))
        earned[:, 0] = 0.3 * np.round(jax.nn.sigmoid(judge(judged, agent)))[:, 0, 0]
        learned, targets = plain_update.learn(groups, state.learner, batch, earned)
        after, metrics = update(state, batch)
        assert_changed(parameters(state), parameters(after), {"discriminator": {"head": judged}, **learned})
        np.testing.assert_allclose(metrics["critic/target"], targets.mean(), rtol=1e-4)
        rewarded.append(float(earned[:, 0].mean()))
        np.testing.assert_allclose(metrics["reward/mean"], rewarded[-1], rtol=1e-5)
        state = after
    assert any(0 < mean < 0.3 for mean in rewarded), "rewards are all alike: they say nothing"


def updated(config):
    """The leaves after one update, each as its bytes."""
    method = make(config)
    state, metrics = compiled(method.update)(method.init(jax.random.PRNGKey(0)), batch_of(config))
    assert all(np.isfinite(value) for value in metrics.values()), metrics
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


def test_with_every_switch_off_it_is_shared_encoder_ail_to_the_last_bit(features):
    shared = settings("shared_encoder_ail")
    groups = shared.to_dict()
    fields = {
        f"{group}__{field}": groups[group][field] for group, field in (name.split(".") for name in PRESETS["laifo"])
    }
    config = settings("laifo", **fields)
    assert {**config.to_dict(), "method": ""} == {**shared.to_dict(), "method": ""}
    assert updated(config) == updated(shared)


@pytest.mark.parametrize("switch", sorted(SWITCHES))
def test_each_switch_alone_makes_another_update_of_shared_encoder_ail(features, switch):
    base = settings("shared_encoder_ail")
    alone = settings("shared_encoder_ail", **{switch.replace(".", "__"): PRESETS["laifo"][switch]})
    assert updated(base) != updated(alone)


def test_the_preset_has_the_published_values():
    config = paper_config("cheetah_run", "laifo")
    assert config.discriminator.learning_rate == 4e-4 and config.agent.critic_learning_rate == 1e-4
    assert (config.replay.batch_size, expert_batch_size(config), config.replay.n_step) == (256, 256, 3)
    assert config.replay.capacity == 1_000_000 and config.discriminator.penalty_weight == 10.0


def test_rewards_of_windows_and_of_augmented_pairs_are_made_at_updates_alone():
    for field in ({"reward__pairs": "window"}, {"reward__augmented": True}):
        with pytest.raises(UserError, match=r"set config.reward.moment=at_update") as error:
            make_method("laifo", reward__moment="at_episode_end", **field)
        assert "\n" not in str(error.value)


def test_an_episode_is_explained_by_the_pairs_that_earn_its_rewards():
    """Each step by the state n steps on; behind the end stands the last frame. Attention is inside the encoder."""
    method, groups = make_method("laifo", **LAIFO), groups_of("laifo", **LAIFO)
    learner = drqv2.make_learner(SMALL, groups)
    devices, judge = Devices(method, SMALL, count=1), method.discriminator
    state = devices.init(0)
    frames = np.random.default_rng(0).integers(0, 256, (11, 24, 24, 3), dtype=np.uint8)
    film = np.concatenate([frames[:1], frames, *[frames[-1:]] * 2])
    head, network = state.discriminator.params["head"], feature_discriminator.FeatureDiscriminator(16, jnp.float32)

    def z(first):
        stack = jnp.concatenate([film[first], film[first + 1]], axis=-1)[None]
        return learner.encode(state.learner.critic, stack)

    wanted = np.asarray([network.apply(head, jnp.concatenate([z(t), z(t + 3)], axis=-1))[0, 0, 0] for t in range(10)])
    middle = np.median(wanted)  # half of the steps are the expert's
    bias = {**head["params"]["logit"], "bias": head["params"]["logit"]["bias"] - middle}
    trained = dataclasses.replace(state.discriminator, params={"head": {"params": {**head["params"], "logit": bias}}})
    state, wanted = dataclasses.replace(state, discriminator=trained), wanted - middle
    found = Explainer(judge, devices, image_size=24).patch_rewards(state, frames)
    np.testing.assert_array_equal(found[:, 0, 0], wanted > 0)
    logits, activations = judge.examine(state, film[:8], {})
    np.testing.assert_allclose(logits[:, 0, 0], wanted[:4], rtol=1e-4, atol=1e-5)
    assert list(activations) == [f"convolution_{number}" for number in range(4)]


def test_a_trunk_in_the_encoder_is_the_critic_s_to_train():
    """Actor, critic and discriminator have none of their own, and the experts do not reach it."""
    devices = Devices(make_method("laifo", **LAIFO), SMALL, count=1)
    state = devices.init(0)
    assert set(state.learner.critic["encoder"]["params"]) == {"encoder", "trunk"}
    for params in (state.learner.actor, state.learner.critic["critic"], state.learner.target_critic):
        assert "trunk" not in params["params"]
    with pytest.raises(UserError, match="trunk=shared is for an encoder of pixels"):
        make_method("drqv2_features", specs=SMALL._replace(feature_count=5), network__trunk="shared")
