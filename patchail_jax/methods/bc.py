"""Behaviour cloning (paper, Section 5): maximum likelihood of the expert's actions. Nothing is played to learn.

One update:

1. encoder and actor, on the first observations of expert pairs, randomly shifted, and the actions taken there.
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax.methods import drqv2
from patchail_jax.methods.method import Method
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.cloning import cloning_update
from patchail_jax.updates.gradient_step import make_optimizer

# clone(policy, optimizer state, batch, key) -> (policy, optimizer state, metrics)
Clone = Callable[[Any, Any, Batch, Any], tuple[Any, Any, dict[str, Any]]]


@flax.struct.dataclass
class State:
    """Arrays only; ``policy`` is ``{"encoder": ..., "actor": ...}``."""

    update: Any
    key: Any
    policy: Any
    policy_optimizer: Any


def make_clone(learner: drqv2.Learner, *, agent: dict[str, Any], std: float) -> tuple[Clone, Callable[[Any], Any]]:
    """The update of a learner's encoder and actor, and the initialiser of its optimizer."""
    adam = make_optimizer(agent["optimizer"], agent["actor_learning_rate"], agent["decay"], group="agent")

    def clone(policy: Any, optimizer_state: Any, batch: Batch, key: Any) -> tuple[Any, Any, dict[str, Any]]:
        return cloning_update(
            policy,
            optimizer_state,
            adam,
            act=learner.method.exploit,
            observations=learner.observe(key, batch.expert_index, batch.expert.frames, 0),
            actions=batch.expert.actions,
            std=std,
        )

    return clone, adam.init


def make(specs: Specs, *, agent: dict[str, Any], network: dict[str, Any], cloning: dict[str, Any]) -> Method:
    """Behaviour cloning for ``specs``; the arguments are the sub-configs of the same names."""
    learner = drqv2.make_learner(specs, cloning, **agent, **network)
    clone, init_optimizer = make_clone(learner, agent=agent, std=cloning["std"])

    def init(key: Any) -> State:
        base = learner.method.init(key)
        policy = learner.method.publish(base)
        return State(jnp.zeros((), jnp.int32), base.key, policy, init_optimizer(policy))

    def update(state: State, batch: Batch) -> tuple[State, dict[str, Any]]:
        key = jax.random.fold_in(state.key, state.update)
        policy, optimizer_state, metrics = clone(state.policy, state.policy_optimizer, batch, key)
        return State(state.update + 1, state.key, policy, optimizer_state), metrics

    return learner.method._replace(
        init=init,
        uses_task_reward=False,
        publish=lambda state: state.policy,
        update=update,
        reads_actions=True,
        plays=False,
    )
