"""PatchAIL (paper, Section 3 and Algorithm 1): adversarial imitation with patch rewards.

One update, in this order:

1. patch discriminator, on expert pairs against half of the batch's agent pairs (Eq. 4 and gradient penalty);
2. rewards of the sampled windows with the discriminator after step 1 (Eq. 5), when ``moment`` is ``at_update``;
   with ``at_episode_end`` the rewards are those that replay holds, scored once when the episode ended;
3. critic and encoder, 4. actor, 5. target critic: DrQ-v2.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax.augmentation import AUGMENTATIONS
from patchail_jax.equations.aggregation import AGGREGATIONS
from patchail_jax.equations.patch_reward import REWARD_FORMS
from patchail_jax.errors import choose
from patchail_jax.methods import drqv2
from patchail_jax.methods.method import Method
from patchail_jax.networks.geometry import output_size, patch_layers
from patchail_jax.networks.inspection import inspect
from patchail_jax.networks.patch_discriminator import PatchDiscriminator
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.discriminator import discriminator_update
from patchail_jax.updates.gradient_step import OPTIMIZERS
from patchail_jax.updates.prepare_batch import OBSERVATIONS, sample_keys, stack_at


@flax.struct.dataclass
class State(drqv2.State):
    """DrQ-v2's state and the discriminator's."""

    discriminator: Any
    discriminator_optimizer: Any


def make(
    specs: Specs,
    *,
    agent: dict[str, Any],
    network: dict[str, Any],
    discriminator: dict[str, Any],
    reward: dict[str, Any],
) -> Method:
    """PatchAIL for ``specs``; the arguments are the sub-configs of the same names."""
    return _make(specs, drqv2.make_learner(specs, **agent, **network), network["precision"], **discriminator, **reward)


def _make(
    specs: Specs,
    learner: drqv2.Learner,
    precision: str,
    *,
    kernel_size: int,
    channels: int,
    optimizer: str,
    learning_rate: float,
    penalty_weight: float,
    penalty_pixel_scale: float,
    augmentation: str,
    augmentation_pad: int,
    observation: str,
    agent_successor: str,
    form: str,
    aggregation: str,
    scale: float,
    moment: str,
) -> Method:
    network = PatchDiscriminator(kernel_size, channels, choose(drqv2.DTYPES, precision, field="network.precision"))
    adam = choose(OPTIMIZERS, optimizer, field="discriminator.optimizer")(learning_rate)
    augment = choose(AUGMENTATIONS, augmentation, field="discriminator.augmentation")
    to_patch_rewards = choose(REWARD_FORMS, form, field="reward.form")
    aggregate = choose(AGGREGATIONS, aggregation, field="reward.aggregation")
    to_input = choose(OBSERVATIONS, observation, field="discriminator.observation")
    successor = choose({"one_step": 1, "n_step": specs.n_step}, agent_successor, field="discriminator.agent_successor")
    at_update = choose({"at_update": True, "at_episode_end": False}, moment, field="reward.moment")
    output_size(specs.image_size, patch_layers(kernel_size))  # refuses images that are too small
    size = specs.frame_stack

    def pair_at(frames: Any, first: int) -> Any:
        """The unaugmented discriminator input for (s, s') one step apart, ``[B,H,W,6S]`` or ``[B,H,W,3S]``."""
        stacks = stack_at(frames, first, size), stack_at(frames, first + 1, size)
        return to_input(*stacks)

    def augmented_pair(key: Any, index: Any, frames: Any, step: int) -> Any:
        first_key, second_key = jax.random.split(key)
        first = augment(sample_keys(first_key, index), stack_at(frames, 0, size), pad=augmentation_pad)
        second = augment(sample_keys(second_key, index), stack_at(frames, step, size), pad=augmentation_pad)
        return to_input(first, second)

    def init(key: Any) -> State:
        learner_key, discriminator_key = jax.random.split(key)
        base = learner.method.init(learner_key)
        pixels = jnp.zeros((1, size + 1, specs.image_size, specs.image_size, 3), jnp.uint8)
        params = network.init(discriminator_key, pair_at(pixels, 0))
        return State(**vars(base), discriminator=params, discriminator_optimizer=adam.init(params))

    def patch_rewards(params: Any, pairs: Any) -> Any:
        return scale * to_patch_rewards(network.apply(params, pairs))

    def window_rewards(params: Any, frames: Any) -> Any:
        """Rewards ``[B,n]`` of every step of the windows ``[B,S+n,H,W,3]`` (Algorithm 1, line 7)."""
        pairs = jnp.concatenate([pair_at(frames, step) for step in range(specs.n_step)])
        return jnp.reshape(aggregate(patch_rewards(params, pairs)), (specs.n_step, -1)).T

    def update(state: State, batch: Batch) -> tuple[State, dict[str, Any]]:
        key = jax.random.fold_in(state.key, state.update)
        expert_key, agent_key, mix_key, learn_key = jax.random.split(key, 4)

        # Every other agent sample, so that the same samples are chosen however the batch is spread over devices.
        stride = batch.agent.frames.shape[0] // batch.expert.frames.shape[0]
        agent_frames, agent_index = batch.agent.frames[::stride], batch.sample_index[::stride]
        params, optimizer_state, metrics = discriminator_update(
            state.discriminator,
            state.discriminator_optimizer,
            adam,
            logits=network.apply,
            expert=augmented_pair(expert_key, batch.expert_index, batch.expert.frames, 1),
            agent=augmented_pair(agent_key, agent_index, agent_frames, successor),
            mix=jax.vmap(jax.random.uniform)(sample_keys(mix_key, batch.expert_index)),
            penalty_weight=penalty_weight,
            penalty_pixel_scale=penalty_pixel_scale,
        )
        state = dataclasses.replace(state, discriminator=params, discriminator_optimizer=optimizer_state)
        rewards = window_rewards(params, batch.agent.frames) if at_update else batch.agent.rewards
        state, learner_metrics = learner.learn(state, batch.agent, rewards, batch.sample_index, learn_key)
        return state, {**metrics, **learner_metrics}

    def episode_pairs(frames: Any) -> Any:
        """The discriminator's inputs for all consecutive steps of ``frames [t+S,H,W,3]``."""
        steps = frames.shape[0] - size
        return pair_at(jnp.stack([frames[offset : offset + steps] for offset in range(size + 1)], axis=1), 0)

    def judge(state: State, frames: Any) -> Any:
        return patch_rewards(state.discriminator, episode_pairs(frames))

    def examine(state: State, frames: Any, offsets: Any) -> tuple[Any, dict[str, Any]]:
        return inspect(network.apply, state.discriminator, episode_pairs(frames), offsets)

    def score(state: State, frames: Any) -> Any:
        return aggregate(judge(state, frames))

    return learner.method._replace(
        init=init,
        uses_task_reward=False,
        update=update,
        score=None if at_update else score,
        judge=judge,
        examine=examine,
    )
