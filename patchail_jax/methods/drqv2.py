"""DrQ-v2 (Yarats et al. 2021): the reinforcement learner under every method, and with the task's reward the expert.

One update, in this order:

1. critic and encoder, on n-step targets from the target critic;
2. actor, on the features from before step 1, against the critic after it;
3. target critic, soft update.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax import schedules
from patchail_jax.augmentation import AUGMENTATIONS
from patchail_jax.equations.policy import noisy_action
from patchail_jax.equations.td_target import td_target
from patchail_jax.errors import choose
from patchail_jax.methods.method import Method
from patchail_jax.networks.actor import Actor
from patchail_jax.networks.critic import Critic
from patchail_jax.networks.encoder import Encoder
from patchail_jax.networks.geometry import encoder_layers, output_size
from patchail_jax.types import AgentBatch, Batch, Specs
from patchail_jax.updates.actor import actor_update
from patchail_jax.updates.critic import critic_update
from patchail_jax.updates.gradient_step import OPTIMIZERS
from patchail_jax.updates.prepare_batch import sample_keys, sample_normal, stack_at
from patchail_jax.updates.targets import soft_update

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@flax.struct.dataclass
class State:
    """Arrays only. ``update []`` counts updates, ``key [2]`` is the root of every random draw of the learner."""

    update: Any
    key: Any
    critic: Any  # {"encoder": ..., "critic": ...}: the critic's loss trains both
    target_critic: Any  # the critic alone; targets use the online encoder
    actor: Any
    critic_optimizer: Any
    actor_optimizer: Any


class Learner(NamedTuple):
    """The pieces of DrQ-v2 that other methods build on."""

    method: Method
    learn: Callable[[Any, AgentBatch, Any, Any, Any], tuple[Any, dict[str, Any]]]
    """``learn(state, agent batch, rewards [B,n], sample_index [B], key) -> (state, metrics)``."""


def make_learner(
    specs: Specs,
    *,
    optimizer: str,
    critic_learning_rate: float,
    actor_learning_rate: float,
    discount: float,
    target_rate: float,
    std_initial: float,
    std_final: float,
    std_duration: int,
    noise_clip: float,
    shift_pad: int,
    random_steps: int,
    first_update_step: int,
    steps_per_update: int,
    precision: str,
    encoder_channels: int,
    feature_size: int,
    hidden_size: int,
) -> Learner:
    """DrQ-v2 for ``specs``; the arguments are the fields of ``config.agent`` and ``config.network``."""
    dtype = choose(DTYPES, precision, field="network.precision")
    encoder = Encoder(encoder_channels, dtype)
    critic = Critic(feature_size, hidden_size, dtype)
    actor = Actor(specs.action_size, feature_size, hidden_size, dtype)
    make_optimizer = choose(OPTIMIZERS, optimizer, field="agent.optimizer")
    critic_adam, actor_adam = make_optimizer(critic_learning_rate), make_optimizer(actor_learning_rate)
    output_size(specs.image_size, encoder_layers())  # refuses images that are too small

    def std_at(agent_step: Any) -> Any:
        return schedules.linear(agent_step, initial=std_initial, final=std_final, duration=std_duration)

    def init(key: Any) -> State:
        root, *keys = jax.random.split(key, 4)
        pixels = jnp.zeros((1, specs.image_size, specs.image_size, 3 * specs.frame_stack), jnp.uint8)
        encoder_params = encoder.init(keys[0], pixels)
        features = encoder.apply(encoder_params, pixels)
        critic_params = critic.init(keys[1], features, jnp.zeros((1, specs.action_size)))
        actor_params = actor.init(keys[2], features)
        trained = {"encoder": encoder_params, "critic": critic_params}
        return State(
            update=jnp.zeros((), jnp.int32),
            key=root,
            critic=trained,
            target_critic=jax.tree.map(jnp.copy, critic_params),  # its own buffers: the state is donated
            actor=actor_params,
            critic_optimizer=critic_adam.init(trained),
            actor_optimizer=actor_adam.init(actor_params),
        )

    def publish(state: Any) -> Any:
        return {"encoder": state.critic["encoder"], "actor": state.actor}

    def exploit(parameters: Any, observations: Any) -> Any:
        return actor.apply(parameters["actor"], encoder.apply(parameters["encoder"], observations))

    def explore(parameters: Any, observations: Any, key: Any, agent_step: Any) -> Any:
        noise_key, uniform_key = jax.random.split(key)
        mean = exploit(parameters, observations)
        noise = jax.random.normal(noise_key, mean.shape)
        noisy = noisy_action(mean, noise, std=std_at(agent_step), clip=None)
        uniform = jax.random.uniform(uniform_key, mean.shape, minval=-1.0, maxval=1.0)
        return jnp.where(agent_step < random_steps, uniform, noisy)

    def learn(state: Any, agent: AgentBatch, rewards: Any, sample_index: Any, key: Any) -> tuple[Any, dict[str, Any]]:
        shift_key, next_shift_key, target_key, actor_key = jax.random.split(key, 4)
        std = std_at(first_update_step + steps_per_update * state.update)
        shift = AUGMENTATIONS["random_shift"]
        size = specs.frame_stack
        observations = shift(sample_keys(shift_key, sample_index), stack_at(agent.frames, 0, size), pad=shift_pad)
        next_observations = shift(
            sample_keys(next_shift_key, sample_index), stack_at(agent.frames, specs.n_step, size), pad=shift_pad
        )

        next_features = encoder.apply(state.critic["encoder"], next_observations)
        next_noise = sample_normal(target_key, sample_index, specs.action_size)
        next_mean = actor.apply(state.actor, next_features)
        next_actions = noisy_action(next_mean, next_noise, std=std, clip=noise_clip)
        next_values = critic.apply(state.target_critic, next_features, next_actions)
        targets = td_target(rewards, agent.discounts, next_values, discount=discount)

        critic_params, critic_optimizer, features, critic_metrics = critic_update(
            state.critic,
            state.critic_optimizer,
            critic_adam,
            encode=encoder.apply,
            value=critic.apply,
            observations=observations,
            actions=agent.actions,
            targets=targets,
        )
        actor_params, actor_optimizer, actor_metrics = actor_update(
            state.actor,
            state.actor_optimizer,
            actor_adam,
            act=actor.apply,
            value=lambda features, actions: critic.apply(critic_params["critic"], features, actions),
            features=features,
            noise=sample_normal(actor_key, sample_index, specs.action_size),
            std=std,
            noise_clip=noise_clip,
        )
        state = state.replace(
            update=state.update + 1,
            critic=critic_params,
            target_critic=soft_update(state.target_critic, critic_params["critic"], rate=target_rate),
            actor=actor_params,
            critic_optimizer=critic_optimizer,
            actor_optimizer=actor_optimizer,
        )
        return state, {**critic_metrics, **actor_metrics, "reward/mean": jnp.mean(rewards)}

    def update(state: State, batch: Batch) -> tuple[State, dict[str, Any]]:
        key = jax.random.fold_in(state.key, state.update)
        return learn(state, batch.agent, batch.agent.rewards, batch.sample_index, key)

    method = Method(
        init=init,
        uses_task_reward=True,
        publish=publish,
        explore=explore,
        exploit=exploit,
        update=update,
        reads_demonstration=False,
        score=None,
        judge=None,
        layers=None,
    )
    return Learner(method, learn)


def make(specs: Specs, *, agent: dict[str, Any], network: dict[str, Any]) -> Method:
    """DrQ-v2 on the rewards that replay holds: the task's own."""
    return make_learner(specs, **agent, **network).method
