"""Behavioural cloning from observation (Torabi et al. 2018), from pixels: no action is read from demonstrations.

What the agent does is guessed from what it sees: an inverse-dynamics model learns the action between two states from
the agent's own transitions, then says what the expert must have done, and the policy clones that.

One update, in this order:

1. inverse dynamics, an encoder and an actor shaped as the learner's that read the S + 1 frames of (s, s'): maximum
   likelihood of the agent's actions in replay, frames randomly shifted, s and s' alike;
2. the expert's actions, as that model means them after step 1, on frames that are not shifted;
3. encoder and actor: behaviour cloning (``methods.bc``) of these actions.

In the paper the agent plays at random, the model is trained to its end, then the policy, and with BCO(alpha) so again
with what the policy plays. Here all of it goes on at once: replay grows by what the newest policy plays, with noise.
"""

import flax.struct
import jax
import optax

from patchail_jax.methods import bc, drqv2
from patchail_jax.methods.method import NOTHING, Config, Method, Metrics, Policy
from patchail_jax.types import Batch, ExpertBatch, Specs
from patchail_jax.updates.prepare_batch import stack_at


@flax.struct.dataclass
class State:
    """Cloning of the policy, and ``inverse``, the inverse dynamics: ``{"encoder": ..., "actor": ...}``."""

    cloned: bc.State
    inverse: Policy
    inverse_optimizer: optax.OptState


def make(specs: Specs, config: Config) -> Method:
    """BCO for ``specs``, by ``config.agent``, ``.network`` and ``.cloning``."""
    learner = drqv2.make_learner(specs, config)
    both = specs.frame_stack + 1  # frames of s and s'
    model = drqv2.make_learner(specs._replace(frame_stack=both), config)
    cloner, inverse_trainer = bc.Cloner(learner), bc.Cloner(model)

    def init(key: jax.Array, parts: Policy = NOTHING) -> State:
        policy_key, inverse_key = jax.random.split(key)
        inverse = model.publish(model.init(inverse_key))
        return State(cloner.init(policy_key, parts), inverse, model.actor_optimizer.init(inverse))

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        inverse_key, policy_key = jax.random.split(jax.random.fold_in(state.cloned.key, state.cloned.update))
        played = ExpertBatch(batch.agent.frames[:, :both], batch.agent.actions)
        own = batch._replace(expert=played, expert_index=batch.sample_index)
        inverse, inverse_optimizer, found = inverse_trainer.clone(
            state.inverse, state.inverse_optimizer, own, inverse_key
        )
        meant = model.exploit(inverse, stack_at(batch.expert.frames, 0, both))
        labelled = batch._replace(expert=batch.expert._replace(actions=meant))
        cloned, metrics = cloner.advance(state.cloned, labelled, policy_key)
        metrics |= {name.replace("cloning/", "inverse/"): value for name, value in found.items()}
        return State(cloned, inverse, inverse_optimizer), metrics

    return Method(
        init=init,
        publish=lambda state: state.cloned.policy,
        explore=learner.explore,
        exploit=learner.exploit,
        update=update,
    )
