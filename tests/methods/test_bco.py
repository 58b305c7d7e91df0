"""Behavioural cloning from observation: what the model of inverse dynamics learns from, and what the policy."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.methods import plain_update
from tests.methods.plain_networks import SPECS, compiled, config_of, make, plain_networks
from tests.methods.test_plain_update import assert_changed, make_pixels

__all__ = ["plain_networks"]

RATE, PAD, S = 0.3, 9, SPECS.frame_stack


def seen(frames, pad=0):
    """The frames of s and s' as one stack."""
    return np.concatenate([frames[:, number] for number in range(S + 1)], axis=-1) + np.uint8(pad)


def means(params, observations):
    return plain_update.act(params["actor"], plain_update.encode(params["encoder"], observations))


def descend(config, params, observations, actions):
    std = config["cloning"]["std"]

    def loss(params):
        square = (actions - means(params, observations)) ** 2 / (2 * std**2)
        return jnp.mean(jnp.sum(square + np.log(std * np.sqrt(2 * np.pi)), axis=1))

    return plain_update.descend(loss, params, config["agent"]["actor_learning_rate"])


def test_an_update_learns_the_agent_s_actions_and_clones_what_they_say_of_the_expert(plain_networks):
    config = config_of("bco", agent__actor_learning_rate=RATE)
    groups, method = config.to_dict(), make(config)
    assert groups["agent"]["shift_pad"] == PAD and method.needs.environment
    state, update = method.init(jax.random.PRNGKey(0)), compiled(method.update)
    for seed in range(2):
        batch = make_pixels(seed)
        inverse = descend(groups, state.inverse, seen(batch.agent.frames, PAD), batch.agent.actions)
        meant = means(inverse, seen(batch.expert.frames))
        states = plain_update.stack(batch.expert.frames, 0, PAD)
        policy = descend(groups, state.cloned.policy, states, meant)
        after, metrics = update(state, batch)
        before, now = ({"inverse": one.inverse, "policy": one.cloned.policy} for one in (state, after))
        assert_changed(before, now, {"inverse": inverse, "policy": policy})
        error = np.mean(np.abs(means(state.inverse, seen(batch.agent.frames, PAD)) - batch.agent.actions))
        np.testing.assert_allclose(metrics["inverse/action_error"], error, rtol=1e-4)
        error = np.mean(np.abs(means(state.cloned.policy, states) - meant))
        np.testing.assert_allclose(metrics["cloning/action_error"], error, rtol=1e-4)
        state = after
    assert int(state.cloned.update) == 2


def test_the_demonstrations_actions_and_all_rewards_are_not_read(plain_networks):
    method = make(config_of("bco"))
    assert not method.needs.actions and not method.needs.task_reward and method.label is None
    state, batch, update = method.init(jax.random.PRNGKey(0)), make_pixels(0), compiled(method.update)
    blind = batch._replace(
        expert=batch.expert._replace(actions=np.full_like(batch.expert.actions, np.nan)),
        agent=batch.agent._replace(rewards=np.full_like(batch.agent.rewards, np.nan)),
    )
    one, other = update(state, batch), update(state, blind)
    for leaf, same in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(leaf, same)


def test_s_and_its_successor_are_shifted_alike():
    """By two draws the model would see the camera move, which is not what the agent did."""
    from patchail_jax.methods import drqv2
    from tests.small import SPECS as SMALL
    from tests.small import groups_of

    groups = groups_of("bco")
    groups["agent"]["shift_pad"] = 2
    both = SMALL._replace(frame_stack=SMALL.frame_stack + 1)
    learner = drqv2.make_learner(both, groups)
    still = np.random.default_rng(0).integers(0, 256, (4, 1, 24, 24, 3), dtype=np.uint8).repeat(3, axis=1)
    stack = np.asarray(learner.observe(jax.random.PRNGKey(0), jnp.arange(4), jnp.asarray(still), 0))
    np.testing.assert_array_equal(stack[..., :3], stack[..., 6:])
    assert not np.array_equal(stack[..., :3], still[:, 0])
