"""DrQ-v2 (Yarats et al. 2021): the reinforcement learner under every method, and with the task's reward the expert.

One update, in this order:

1. critic and encoder, on n-step targets from the target critic;
2. actor, on the features from before step 1, against the critic after it; with ``config.cloning`` its loss has a term
   of behaviour cloning (Appendix B.3);
3. target critic, soft update.

Observations that are the physics' features need no encoder and no augmentation.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax.equations import schedule as schedules
from patchail_jax.equations.policy import noisy_action
from patchail_jax.equations.td_target import td_target
from patchail_jax.methods.method import Method
from patchail_jax.networks.actor import Actor
from patchail_jax.networks.critic import Critic
from patchail_jax.networks.encoder import Encoder, Identity
from patchail_jax.networks.geometry import encoder_layers, output_size
from patchail_jax.networks.layers import compute_dtype
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.actor import Cloning, actor_update
from patchail_jax.updates.augmentation import AUGMENTATIONS
from patchail_jax.updates.critic import critic_update
from patchail_jax.updates.gradient_step import make_optimizer
from patchail_jax.updates.prepare_batch import sample_keys, sample_normal, stack_at
from patchail_jax.updates.targets import soft_update


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
    learn: Callable[..., tuple[Any, dict[str, Any]]]
    """``learn(state, batch, rewards [B,n], key, cloning_weight=None) -> (state, metrics)``; ``cloning_weight(value_of,
    observations [B,H,W,3S], values [2,B]) -> []`` takes the place of the annealed one: values are the policy's own
    actions', and ``value_of(actions [B,A]) -> [2,B]`` those of others at the same observations."""
    features: Mapping[str, Callable[[Any, Any], Any]]
    """``f(policy, observations [B,H,W,3S]) -> [B,F]``: what a policy sees behind its "encoder" or "trunk"."""
    latent: Callable[[Any, Any], Any]
    """``latent(state.critic, observations [B,H,W,3S]) -> [B,feature_size]``: what the critic's heads read."""
    observe: Callable[[Any, Any, Any, int], Any]
    """``observe(key, index [B], frames [B,L,H,W,3], first) -> [B,H,W,3S]``: the augmented stack from ``first`` on."""
    agent_step: Callable[[Any], Any]
    """``agent_step(state) -> []``: the agent step at which the state's next update is due."""


def make_learner(
    specs: Specs,
    cloning: dict[str, Any],
    *,
    optimizer: str,
    critic_learning_rate: float,
    actor_learning_rate: float,
    decay: dict[str, Any],
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
    reward_scale: float = 1.0,
) -> Learner:
    """DrQ-v2 for ``specs``; the arguments are ``config.cloning``, the fields of ``config.agent`` and ``.network``."""
    dtype = compute_dtype(precision)
    encoder = Identity(dtype) if specs.feature_count else Encoder(encoder_channels, dtype)
    critic = Critic(feature_size, hidden_size, dtype)
    actor = Actor(specs.action_size, feature_size, hidden_size, dtype)
    critic_adam = make_optimizer(optimizer, critic_learning_rate, decay, group="agent")
    actor_adam = make_optimizer(optimizer, actor_learning_rate, decay, group="agent")
    if not specs.feature_count:
        output_size(specs.image_size, encoder_layers())  # refuses images that are too small

    def std_at(agent_step: Any) -> Any:
        return schedules.linear(agent_step, initial=std_initial, final=std_final, duration=std_duration)

    def init(key: Any) -> State:
        root, *keys = jax.random.split(key, 4)
        frames = jnp.zeros((1, specs.frame_stack, *specs.frame_shape), specs.frame_dtype)
        observation = stack_at(frames, 0, specs.frame_stack)
        encoder_params = encoder.init(keys[0], observation)
        features = encoder.apply(encoder_params, observation)
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

    def encoded(params: Any, observations: Any) -> Any:
        return encoder.apply(params["encoder"], observations)

    def exploit(parameters: Any, observations: Any) -> Any:
        return actor.apply(parameters["actor"], encoded(parameters, observations))

    def explore(parameters: Any, observations: Any, key: Any, agent_step: Any) -> Any:
        noise_key, uniform_key = jax.random.split(key)
        mean = exploit(parameters, observations)
        noisy = noisy_action(mean, jax.random.normal(noise_key, mean.shape), std=std_at(agent_step), clip=None)
        uniform = jax.random.uniform(uniform_key, mean.shape, minval=-1.0, maxval=1.0)
        return jnp.where(agent_step < random_steps, uniform, noisy)

    def latent(params: Any, observations: Any) -> Any:
        return critic.apply(params["critic"], encoded(params, observations), method="latent")

    def policy_latent(policy: Any, observations: Any) -> Any:
        return actor.apply(policy["actor"], encoded(policy, observations), method="latent")

    def observe(key: Any, index: Any, frames: Any, first: int) -> Any:
        augment = AUGMENTATIONS["none" if specs.feature_count else "random_shift"]
        return augment(sample_keys(key, index), stack_at(frames, first, specs.frame_stack), pad=shift_pad)

    def agent_step(state: Any) -> Any:
        return first_update_step + steps_per_update * (state.update - cloning["pretraining_updates"])

    def annealed_weight(state: Any) -> Any:
        initial, final, duration = (cloning[f"weight_{part}"] for part in ("initial", "final", "duration"))
        return schedules.linear(agent_step(state), initial=initial, final=final, duration=duration)

    def learn(
        state: Any, batch: Batch, rewards: Any, key: Any, cloning_weight: Callable[..., Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        agent, sample_index = batch.agent, batch.sample_index
        shift_key, next_shift_key, target_key, actor_key, expert_key = jax.random.split(key, 5)
        std = std_at(agent_step(state))
        observations = observe(shift_key, sample_index, agent.frames, 0)
        next_observations = observe(next_shift_key, sample_index, agent.frames, specs.n_step)

        next_features = encoded(state.critic, next_observations)
        next_noise = sample_normal(target_key, sample_index, specs.action_size)
        next_actions = noisy_action(actor.apply(state.actor, next_features), next_noise, std=std, clip=noise_clip)
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
        value_of = functools.partial(critic.apply, critic_params["critic"])
        term = None
        if cloning_weight is not None or cloning["weight_initial"] > 0:
            filtered = cloning_weight or (lambda *_: annealed_weight(state))
            stacks = observe(expert_key, batch.expert_index, batch.expert.frames, 0)
            term = Cloning(
                features=jax.lax.stop_gradient(encoded(state.critic, stacks)),
                actions=batch.expert.actions,
                weight=lambda values: filtered(functools.partial(value_of, features), observations, values),
                std=cloning["std"],
                scale=cloning["likelihood_scale"],
            )
        actor_params, actor_optimizer, actor_metrics = actor_update(
            state.actor,
            state.actor_optimizer,
            actor_adam,
            act=actor.apply,
            value=value_of,
            features=features,
            noise=sample_normal(actor_key, sample_index, specs.action_size),
            std=std,
            noise_clip=noise_clip,
            cloning=term,
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
        return learn(state, batch, reward_scale * batch.agent.rewards, key)

    method = Method(
        init=init,
        uses_task_reward=True,
        publish=publish,
        explore=explore,
        exploit=exploit,
        update=update,
        reads_demonstration=False,
        reads_actions=cloning["weight_initial"] > 0,
        score=None,
        judge=None,
        layers=None,
    )
    return Learner(method, learn, {"encoder": encoded, "trunk": policy_latent}, latent, observe, agent_step)


def make(
    specs: Specs,
    *,
    agent: dict[str, Any],
    network: dict[str, Any],
    reward: dict[str, Any],
    cloning: dict[str, Any],
) -> Method:
    """DrQ-v2 on the rewards that replay holds, the task's own, times ``reward.scale``; nothing is cloned."""
    cloning = {**cloning, "weight_initial": 0.0}
    return make_learner(specs, cloning, **agent, **network, reward_scale=reward["scale"]).method
