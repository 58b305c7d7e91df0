"""DrQ-v2 (Yarats et al. 2021): the reinforcement learner under every method, and with the task's reward the expert.

One update, in this order:

1. critic and encoder, on n-step targets from the target critic;
2. actor, on the features from before step 1, against the critic after it; with ``config.cloning`` its loss has a term
   of behaviour cloning (Appendix B.3);
3. target critic, soft update.

Observations that are the physics' features need no encoder and no augmentation.
"""

import dataclasses
import functools

import flax.struct
import jax
import jax.numpy as jnp
import optax

from patchail_jax.equations.policy import noisy_action
from patchail_jax.equations.td_target import td_target
from patchail_jax.errors import UserError, choose
from patchail_jax.methods.cloning_weight import CloningWeight, clones, scheduled
from patchail_jax.methods.method import NOTHING, Config, Method, Metrics, Needs, Policy, SubConfig
from patchail_jax.networks.actor import Actor
from patchail_jax.networks.critic import Critic
from patchail_jax.networks.encoder import Encoder, Identity
from patchail_jax.networks.feature_discriminator import ImageFeatures
from patchail_jax.networks.geometry import encoder_layers, output_size
from patchail_jax.networks.layers import compute_dtype
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.actor import Cloning, actor_update
from patchail_jax.updates.augmentation import AUGMENTATIONS
from patchail_jax.updates.critic import critic_update
from patchail_jax.updates.gradient_step import make_optimizer
from patchail_jax.updates.prepare_batch import sample_keys, sample_normal, stack_at


@flax.struct.dataclass
class State:
    """Arrays only. ``update []`` counts updates, ``key [2]`` is the root of every random draw of the learner."""

    update: jax.Array
    key: jax.Array
    critic: dict[str, Policy]  # {"encoder": ..., "critic": ...}: the critic's loss trains both
    target_critic: Policy  # the critic alone; targets use the online encoder
    actor: Policy
    critic_optimizer: optax.OptState
    actor_optimizer: optax.OptState


@dataclasses.dataclass(frozen=True)
class Learner:
    """DrQ-v2's networks, optimizers and numbers: pure functions of its state, which methods build on."""

    specs: Specs
    encoder: Encoder | ImageFeatures | Identity
    critic: Critic
    actor: Actor
    critic_optimizer: optax.GradientTransformation
    actor_optimizer: optax.GradientTransformation
    agent: SubConfig
    cloning: SubConfig

    def init(self, key: jax.Array, parts: Policy = NOTHING) -> State:
        """The first state, of ``key [2]``, with the "encoder" and the "actor" of ``parts`` where they are there."""
        root, *keys = jax.random.split(key, 4)
        specs = self.specs
        frames = jnp.zeros((1, specs.frame_stack, *specs.frame_shape), specs.frame_dtype)
        observation = stack_at(frames, 0, specs.frame_stack)
        encoder_params = self.encoder.init(keys[0], observation)
        features = self.encoder.apply(encoder_params, observation)
        critic_params = self.critic.init(keys[1], features, jnp.zeros((1, specs.action_size)))
        actor_params = self.actor.init(keys[2], features)
        trained = {"encoder": parts.get("encoder", encoder_params), "critic": critic_params}
        actor_params = parts.get("actor", actor_params)
        return State(
            update=jnp.zeros((), jnp.int32),
            key=root,
            critic=trained,
            target_critic=jax.tree.map(jnp.copy, critic_params),  # its own buffers: the state is donated
            actor=actor_params,
            critic_optimizer=self.critic_optimizer.init(trained),
            actor_optimizer=self.actor_optimizer.init(actor_params),
        )

    def publish(self, state: State) -> Policy:
        """The policy: ``{"encoder": ..., "actor": ...}``."""
        return {"encoder": state.critic["encoder"], "actor": state.actor}

    def with_policy(self, state: State, policy: Policy) -> State:
        """The state with ``policy`` in the place of its own."""
        return dataclasses.replace(state, critic={**state.critic, "encoder": policy["encoder"]}, actor=policy["actor"])

    def encode(self, params: Policy, observations: jax.Array) -> jax.Array:
        """Features ``[B,F]`` of ``observations [B,H,W,3S]`` behind the "encoder" of ``params``."""
        return self.encoder.apply(params["encoder"], observations)

    def exploit(self, policy: Policy, observations: jax.Array) -> jax.Array:
        """The mean action ``[B,A]``."""
        return self.actor.apply(policy["actor"], self.encode(policy, observations))

    def explore(self, policy: Policy, observations: jax.Array, key: jax.Array, agent_step: jax.Array) -> jax.Array:
        """Noisy actions ``[B,A]``, uniform ones in the first ``agent.random_steps`` steps."""
        noise_key, uniform_key = jax.random.split(key)
        mean = self.exploit(policy, observations)
        noise = jax.random.normal(noise_key, mean.shape)
        noisy = noisy_action(mean, noise, std=self.std_at(agent_step), clip=None)
        uniform = jax.random.uniform(uniform_key, mean.shape, minval=-1.0, maxval=1.0)
        return jnp.where(agent_step < self.agent["random_steps"], uniform, noisy)

    def latent(self, params: Policy, observations: jax.Array) -> jax.Array:
        """What the critic's heads read, ``[B,feature_size]``; ``params`` are ``State.critic``."""
        return self.critic.apply(params["critic"], self.encode(params, observations), method="latent")

    def trunk(self, policy: Policy, observations: jax.Array) -> jax.Array:
        """What the actor reads behind its trunk, ``[B,feature_size]``."""
        return self.actor.apply(policy["actor"], self.encode(policy, observations), method="latent")

    def observe(self, key: jax.Array, index: jax.Array, frames: jax.Array, first: int) -> jax.Array:
        """The augmented stack ``[B,H,W,3S]`` from frame ``first`` on, of windows ``[B,L,H,W,3]``; ``index [B]``."""
        augment = AUGMENTATIONS["none" if self.specs.feature_count else "random_shift"]
        stacks = stack_at(frames, first, self.specs.frame_stack)
        return augment(sample_keys(key, index), stacks, pad=self.agent["shift_pad"])

    def agent_step(self, state: State) -> jax.Array:
        """The agent step at which the state's next update is due."""
        since = state.update - self.cloning["pretraining_updates"]
        return self.agent["first_update_step"] + self.agent["steps_per_update"] * since

    def std_at(self, agent_step: jax.Array) -> jax.Array:
        """The standard deviation of the exploration noise."""
        parts = (self.agent[f"std_{part}"] for part in ("initial", "final", "duration"))
        return optax.linear_schedule(*parts)(agent_step)

    def targets(self, state: State, batch: Batch, rewards: jax.Array, std: jax.Array, keys: jax.Array) -> jax.Array:
        """The critic's n-step targets ``[B]`` for ``rewards [B,n]``; ``keys [2,2]`` of augmentation and noise."""
        next_observations = self.observe(keys[0], batch.sample_index, batch.agent.frames, self.specs.n_step)
        next_features = self.encode(state.critic, next_observations)
        noise = sample_normal(keys[1], batch.sample_index, self.specs.action_size)
        mean = self.actor.apply(state.actor, next_features)
        next_actions = noisy_action(mean, noise, std=std, clip=self.agent["noise_clip"])
        next_values = self.critic.apply(state.target_critic, next_features, next_actions)
        return td_target(rewards, batch.agent.discounts, next_values, discount=self.agent["discount"])

    def learn(
        self, state: State, batch: Batch, rewards: jax.Array, key: jax.Array, weight: CloningWeight | None = None
    ) -> tuple[State, Metrics]:
        """One update on ``rewards [B,n]``; ``weight`` takes the place of the scheduled one."""
        shift_key, next_shift_key, target_key, actor_key, expert_key = update_keys(key)
        std = self.std_at(self.agent_step(state))
        observations = self.observe(shift_key, batch.sample_index, batch.agent.frames, 0)
        critic, critic_optimizer, features, critic_metrics = critic_update(
            state.critic,
            state.critic_optimizer,
            self.critic_optimizer,
            encode=self.encoder.apply,
            value=self.critic.apply,
            observations=observations,
            actions=batch.agent.actions,
            targets=self.targets(state, batch, rewards, std, jnp.stack([next_shift_key, target_key])),
        )
        value_of = functools.partial(self.critic.apply, critic["critic"])
        term = None
        if clones(self.cloning):
            weigh = weight or (lambda *_: scheduled(self.cloning)(self.agent_step(state)))
            stacks = self.observe(expert_key, batch.expert_index, batch.expert.frames, 0)
            term = Cloning(
                features=jax.lax.stop_gradient(self.encode(state.critic, stacks)),
                actions=batch.expert.actions,
                weight=lambda values: weigh(value_of, features, observations, values),
                std=self.cloning["std"],
                scale=self.cloning["likelihood_scale"],
            )
        actor, actor_optimizer, actor_metrics = actor_update(
            state.actor,
            state.actor_optimizer,
            self.actor_optimizer,
            preactivation=functools.partial(self.actor.apply, method="preactivation"),
            value=value_of,
            features=features,
            noise=sample_normal(actor_key, batch.sample_index, self.specs.action_size),
            std=std,
            noise_clip=self.agent["noise_clip"],
            penalty=self.agent["preactivation_penalty"],
            cloning=term,
        )
        state = State(
            update=state.update + 1,
            key=state.key,
            critic=critic,
            target_critic=optax.incremental_update(critic["critic"], state.target_critic, self.agent["target_rate"]),
            actor=actor,
            critic_optimizer=critic_optimizer,
            actor_optimizer=actor_optimizer,
        )
        return state, {**critic_metrics, **actor_metrics, "reward/mean": jnp.mean(rewards)}


def update_keys(key: jax.Array) -> jax.Array:
    """The keys ``[5,2]`` of ``Learner.learn``: augmentation of s and of s', noise of target and actor, the expert's."""
    return jax.random.split(key, 5)


def make_learner(specs: Specs, config: Config) -> Learner:
    """DrQ-v2 for ``specs``, by ``config.agent``, ``.network`` and ``.cloning``; ``UserError`` for what does not fit."""
    agent, network, cloning = config["agent"], config["network"], config["cloning"]
    dtype = compute_dtype(network["precision"])
    if not specs.feature_count:
        output_size(specs.image_size, encoder_layers())  # refuses images that are too small
    rates = (agent["critic_learning_rate"], agent["actor_learning_rate"])
    critic_optimizer, actor_optimizer = (
        make_optimizer(agent["optimizer"], rate, agent["decay"], group="agent") for rate in rates
    )
    clones(cloning)  # refuses a schedule that does not exist
    own_trunk = choose({"own": True, "shared": False}, network["trunk"], field="network.trunk")
    if specs.feature_count and not own_trunk:
        raise UserError("config.network.trunk=shared is for an encoder of pixels; config.env.observation is features")
    size, channels = network["feature_size"], network["encoder_channels"]
    encoder = Encoder(channels, dtype) if own_trunk else ImageFeatures(channels, size, dtype)
    return Learner(
        specs,
        Identity(dtype) if specs.feature_count else encoder,
        Critic(size, network["hidden_size"], dtype, own_trunk),
        Actor(specs.action_size, size, network["hidden_size"], dtype, own_trunk),
        critic_optimizer,
        actor_optimizer,
        agent,
        cloning,
    )


def make(specs: Specs, config: Config) -> Method:
    """DrQ-v2 on the rewards that replay holds, the task's own, times ``config.reward.scale``; nothing is cloned."""
    cloning = {**config["cloning"], "weight_initial": 0.0, "schedule": "linear"}
    learner = make_learner(specs, {**config, "cloning": cloning})

    def update(state: State, batch: Batch) -> tuple[State, Metrics]:
        key = jax.random.fold_in(state.key, state.update)
        return learner.learn(state, batch, config["reward"]["scale"] * batch.agent.rewards, key)

    return Method(
        init=learner.init,
        publish=learner.publish,
        explore=learner.explore,
        exploit=learner.exploit,
        update=update,
        needs=Needs(task_reward=True),
    )
