"""Behaviour cloning (paper, Section 5): maximum likelihood of the expert's actions. Nothing is played to learn.

One update:

1. encoder and actor, on the first observations of expert pairs, randomly shifted, and the actions taken there.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import optax

from patchail_jax.methods import drqv2
from patchail_jax.methods.method import NOTHING, Config, Method, Metrics, Needs, Policy
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.cloning import cloning_update


@flax.struct.dataclass
class State:
    """Arrays only; ``policy`` is ``{"encoder": ..., "actor": ...}``."""

    update: jax.Array
    key: jax.Array
    policy: Policy
    policy_optimizer: optax.OptState


@dataclasses.dataclass(frozen=True)
class Cloner:
    """One step of cloning a learner's encoder and actor, by the actor's optimizer: ROT's pre-training too."""

    learner: drqv2.Learner

    def init(self, key: jax.Array, parts: Policy = NOTHING) -> State:
        """The first state, as ``Method.init``."""
        base = self.learner.init(key, parts)
        policy = self.learner.publish(base)
        return State(jnp.zeros((), jnp.int32), base.key, policy, self.learner.actor_optimizer.init(policy))

    def advance(self, state: State, batch: Batch, key: jax.Array) -> tuple[State, Metrics]:
        """One step of cloning, and the state after it."""
        policy, optimizer_state, metrics = self.clone(state.policy, state.policy_optimizer, batch, key)
        return State(state.update + 1, state.key, policy, optimizer_state), metrics

    def clone(
        self, policy: Policy, optimizer_state: optax.OptState, batch: Batch, key: jax.Array
    ) -> tuple[Policy, optax.OptState, Metrics]:
        """One gradient step on the expert's pairs of ``batch``."""
        return cloning_update(
            policy,
            optimizer_state,
            self.learner.actor_optimizer,
            act=self.learner.exploit,
            observations=self.learner.observe(key, batch.expert_index, batch.expert.frames, 0),
            actions=batch.expert.actions,
            std=self.learner.cloning["std"],
        )


def make(specs: Specs, config: Config) -> Method:
    """Behaviour cloning for ``specs``, by ``config.agent``, ``.network`` and ``.cloning``."""
    learner = drqv2.make_learner(specs, config)
    cloner = Cloner(learner)

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        return cloner.advance(state, batch, jax.random.fold_in(state.key, state.update))

    return Method(
        init=cloner.init,
        publish=lambda state: state.policy,
        explore=learner.explore,
        exploit=learner.exploit,
        update=update,
        needs=Needs(actions=True, environment=False),
    )
