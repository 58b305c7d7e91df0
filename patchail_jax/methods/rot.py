"""ROT (Haldar et al. 2022): optimal-transport rewards and behaviour cloning where the demonstrator is better.

Before the first step, ``config.cloning.pretraining_updates`` of behaviour cloning; their policy is the reference, and
the first target. When an episode ends it is scored, once: the rewards of ``equations.optimal_transport`` between its
successors s' and those of the closest demonstration, as the target's encoder sees them (in the published program its
trunk behind it, and s_0 counts too), in units that make the first episode's sum to
``config.optimal_transport.first_sum``.

One update, in this order:

1. critic and encoder, 2. actor, 3. target critic: DrQ-v2 on the stored rewards; the cloning term of the actor's loss
   weighs as much as the share of samples at which the reference's action is worth more than the actor's
   (``config.cloning.schedule`` has others);
4. target, every ``config.optimal_transport.target_steps`` steps, from the policy.
"""

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax

from patchail_jax.equations.optimal_transport import cosine_cost, transport_rewards, unit
from patchail_jax.errors import choose
from patchail_jax.methods import drqv2
from patchail_jax.methods.bc import Cloner
from patchail_jax.methods.cloning_weight import filtered, is_filtered
from patchail_jax.methods.method import NOTHING, Config, Method, Metrics, Needs, Policy, SubConfig
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.prepare_batch import episode_windows, stack_at

CHUNK = 128  # observations that are encoded at a time: an episode's features are large, its activations larger


@flax.struct.dataclass
class State:
    """DrQ-v2's state, the frozen ``reference`` policy, and what the rewards need; ``target`` is a policy too.

    ``reward_scale []`` is 0 until the first episode sets it; ``cloning_optimizer`` serves the pre-training alone.
    """

    learner: drqv2.State
    cloning_optimizer: optax.OptState
    reference: Policy
    target: Policy
    reward_scale: jax.Array


def make(specs: Specs, config: Config) -> Method:
    """ROT for ``specs``, by ``config.agent``, ``.network``, ``.cloning`` and ``.optimal_transport``."""
    learner = drqv2.make_learner(specs, config)
    cloner, transport = Cloner(learner), config["optimal_transport"]
    rewards_of = make_episode_rewards(learner, transport)
    by_reference = choose(
        {"online": False, "reference": True}, transport["filter_features"], field="optimal_transport.filter_features"
    )

    def init(key: jax.Array, parts: Policy = NOTHING) -> State:
        base = learner.init(key, parts)
        policy = learner.publish(base)
        reference, target = (jax.tree.map(jnp.copy, policy) for _ in range(2))
        return State(base, learner.actor_optimizer.init(policy), reference, target, jnp.zeros(()))

    def pretrain(state: State, batch: Batch) -> tuple[State, Metrics]:
        base = state.learner
        key = jax.random.fold_in(base.key, base.update)
        policy, optimizer_state, metrics = cloner.clone(learner.publish(base), state.cloning_optimizer, batch, key)
        base = dataclasses.replace(learner.with_policy(base, policy), update=base.update + 1)
        reference, target = (jax.tree.map(jnp.copy, policy) for _ in range(2))
        return State(base, optimizer_state, reference, target, state.reward_scale), metrics

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        base = state.learner
        key, step = jax.random.fold_in(base.key, base.update), learner.agent_step(base)
        weight = None
        if is_filtered(learner.cloning):
            weight = filtered(learner.encode, learner.actor.apply, state.reference, by_reference=by_reference)
        base, metrics = learner.learn(base, batch, batch.agent.rewards, key, weight)
        due = step % transport["target_steps"] < config["agent"]["steps_per_update"]
        policy = learner.publish(base)
        target = jax.tree.map(lambda old, new: jnp.where(due, new, old), state.target, policy)
        return dataclasses.replace(state, learner=base, target=target), {**metrics, "reward/scale": state.reward_scale}

    def label(state: State, frames: jax.Array, others: tuple[jax.Array, ...]) -> tuple[State, jax.Array]:
        closest = rewards_of(state.target, frames, *others)
        first = transport["first_sum"] / jnp.maximum(jnp.abs(jnp.sum(closest)), 1e-8)
        reward_scale = jnp.where(state.reward_scale == 0, first, state.reward_scale)
        return dataclasses.replace(state, reward_scale=reward_scale), reward_scale * closest

    return Method(
        init=init,
        publish=lambda state: learner.publish(state.learner),
        explore=learner.explore,
        exploit=learner.exploit,
        update=update,
        needs=Needs(actions=True, whole_episodes=True),
        label=label,
        pretrain=pretrain,
    )


def make_episode_rewards(learner: drqv2.Learner, transport: SubConfig) -> Callable[..., jax.Array]:
    """``rewards(target, frames [T+1,H,W,3], length [], demonstrations [D,M+1,H,W,3], steps [D]) -> [T]``, not scaled.

    Those of the demonstration with the largest sum, 0 behind the episode's own ``length`` of steps; ``UserError`` names
    a wrong field of ``config.optimal_transport``.
    """
    see = choose(
        {"encoder": learner.encode, "trunk": learner.trunk}, transport["features"], field="optimal_transport.features"
    )
    size, first = learner.specs.frame_stack, 0 if transport["first_observation"] else 1

    def seen(policy: Policy, frames: jax.Array) -> jax.Array:
        """Unit features ``[T,F]`` of s_1 .. s_T, of s_0 before them if it counts, from frames ``[T+1,H,W,3]``."""
        frames = jnp.concatenate([jnp.repeat(frames[:1], size - 1, axis=0), frames])
        stacks = stack_at(episode_windows(frames, size)[first:], 0, size)
        return unit(jax.lax.map(lambda stack: see(policy, stack[None])[0], stacks, batch_size=CHUNK))

    def rewards(
        target: Policy, frames: jax.Array, length: jax.Array, demonstrations: jax.Array, steps: jax.Array
    ) -> jax.Array:
        episode = seen(target, frames)

        def against(each: tuple[jax.Array, jax.Array]) -> jax.Array:
            demonstration, count = each
            cost, there = cosine_cost(episode, seen(target, demonstration)), (count + 1 - first, length + 1 - first)
            return transport_rewards(cost, *there, epsilon=transport["epsilon"], iterations=transport["iterations"])

        # One demonstration at a time: of all ten at once the features alone would take most of a gigabyte.
        each = jax.lax.map(against, (demonstrations, steps))
        return each[jnp.argmax(jnp.sum(each, axis=1))][1 - first :]

    return rewards
