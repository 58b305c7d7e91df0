"""ROT (Haldar et al. 2022): optimal-transport rewards and behaviour cloning where the demonstrator is better.

Before the first step, ``config.cloning.pretraining_updates`` of behaviour cloning; their policy is the reference, and
the first target. When an episode ends it is scored, once: the rewards of ``equations.optimal_transport`` between its
successors s' and those of the closest demonstration, as the target's encoder sees them (or its trunk behind it, as in
the published program), in units that make the first episode's sum to ``config.optimal_transport.first_sum``.

One update, in this order:

1. critic and encoder, 2. actor, 3. target critic: DrQ-v2 on the stored rewards; the cloning term of the actor's loss
   weighs as much as the share of samples at which the reference's action is worth more than the actor's;
4. target, every ``config.optimal_transport.target_steps`` steps, from the policy.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax.equations.behaviour_cloning import soft_q_filter
from patchail_jax.equations.optimal_transport import cosine_cost, transport_rewards, unit
from patchail_jax.errors import choose
from patchail_jax.methods import drqv2
from patchail_jax.methods.bc import make_clone
from patchail_jax.methods.method import Method
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.gradient_step import DEVICE_AXIS
from patchail_jax.updates.prepare_batch import episode_windows, stack_at

CHUNK = 128  # observations that are encoded at a time: an episode's features are large, its activations larger


@flax.struct.dataclass
class State(drqv2.State):
    """DrQ-v2's state, the frozen ``reference`` policy, and what the rewards need; ``target`` is a policy too.

    ``reward_scale []`` is 0 until the first episode sets it; ``cloning_optimizer`` serves the pre-training alone.
    """

    reference: Any
    cloning_optimizer: Any
    target: Any
    reward_scale: Any


def make(
    specs: Specs,
    *,
    agent: dict[str, Any],
    network: dict[str, Any],
    cloning: dict[str, Any],
    optimal_transport: dict[str, Any],
) -> Method:
    """ROT for ``specs``; the arguments are the sub-configs of the same names."""
    learner = drqv2.make_learner(specs, cloning, **agent, **network)
    return _make(specs, learner, agent, cloning["std"], **optimal_transport)


def _make(
    specs: Specs,
    learner: drqv2.Learner,
    agent: dict[str, Any],
    std: float,
    *,
    features: str,
    epsilon: float,
    iterations: int,
    first_sum: float,
    target_steps: int,
) -> Method:
    clone, init_optimizer = make_clone(learner, agent=agent, std=std)
    see = choose(learner.features, features, field="optimal_transport.features")
    copy, size = jnp.copy, specs.frame_stack

    def init(key: Any) -> State:
        base = learner.method.init(key)
        policy = learner.method.publish(base)
        return State(
            **vars(base),
            reference=jax.tree.map(copy, policy),
            cloning_optimizer=init_optimizer(policy),
            target=jax.tree.map(copy, policy),
            reward_scale=jnp.zeros(()),
        )

    def pretrain(state: State, batch: Batch) -> tuple[State, dict[str, Any]]:
        key = jax.random.fold_in(state.key, state.update)
        policy, optimizer_state, metrics = clone(learner.method.publish(state), state.cloning_optimizer, batch, key)
        state = dataclasses.replace(
            state,
            update=state.update + 1,
            critic={**state.critic, "encoder": policy["encoder"]},
            actor=policy["actor"],
            reference=jax.tree.map(copy, policy),
            cloning_optimizer=optimizer_state,
            target=jax.tree.map(copy, policy),
        )
        return state, metrics

    def update(state: State, batch: Batch) -> tuple[State, dict[str, Any]]:
        key, step = jax.random.fold_in(state.key, state.update), learner.agent_step(state)

        def weight(value_of: Any, observations: Any, values: Any) -> Any:
            theirs = value_of(learner.method.exploit(state.reference, observations))
            return jax.lax.pmean(soft_q_filter(theirs, values), DEVICE_AXIS)

        state, metrics = learner.learn(state, batch, batch.agent.rewards, key, weight)
        due = step % target_steps < agent["steps_per_update"]
        policy = learner.method.publish(state)
        target = jax.tree.map(lambda old, new: jnp.where(due, new, old), state.target, policy)
        return dataclasses.replace(state, target=target), {**metrics, "reward/scale": state.reward_scale}

    def successors(policy: Any, frames: Any) -> Any:
        """Unit features ``[T,F]`` of s_1 .. s_T, from an episode's frames ``[T+1,H,W,3]``."""
        frames = jnp.concatenate([jnp.repeat(frames[:1], size - 1, axis=0), frames])
        stacks = stack_at(episode_windows(frames, size)[1:], 0, size)
        return unit(jax.lax.map(lambda stack: see(policy, stack[None])[0], stacks, batch_size=CHUNK))

    def score_episode(state: State, frames: Any, demonstrations: Any, steps: Any) -> tuple[State, Any]:
        episode = successors(state.target, frames)

        def against(each: tuple[Any, Any]) -> Any:
            demonstration, length = each
            cost = cosine_cost(episode, successors(state.target, demonstration))
            return transport_rewards(cost, length, epsilon=epsilon, iterations=iterations)

        # One demonstration at a time: of all ten at once the features alone would take most of a gigabyte.
        rewards = jax.lax.map(against, (demonstrations, steps))
        closest = rewards[jnp.argmax(jnp.sum(rewards, axis=1))]
        first = first_sum / jnp.maximum(jnp.abs(jnp.sum(closest)), 1e-8)
        reward_scale = jnp.where(state.reward_scale == 0, first, state.reward_scale)
        return dataclasses.replace(state, reward_scale=reward_scale), reward_scale * closest

    return learner.method._replace(
        init=init,
        uses_task_reward=False,
        update=update,
        reads_actions=True,
        pretrain=pretrain,
        score_episode=score_episode,
    )
