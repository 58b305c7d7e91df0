"""PatchAIL, PatchAIL-W and -B (paper, Section 3 and Algorithm 1): adversarial imitation with patch rewards.

One update, in this order:

1. patch discriminator, on expert pairs against half of the batch's agent pairs (Eq. 4 and gradient penalty);
2. rewards of the sampled windows with the discriminator after step 1 (Eq. 5), when ``moment`` is ``at_update``;
   with ``at_episode_end`` the rewards are those that replay holds, scored once when the episode ended;
   then, for -W and -B, the similarity of the windows to the expert's pairs (Eq. 6 to 8) weights them or is added
   (Eq. 9, 10), with that same discriminator and without augmentation;
3. critic and encoder, 4. actor, 5. target critic: DrQ-v2.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from patchail_jax.equations.aggregation import AGGREGATIONS
from patchail_jax.equations.patch_reward import REWARD_FORMS
from patchail_jax.equations.regularized_reward import REGULARIZERS
from patchail_jax.equations.similarity import DISTRIBUTIONS, mean_similarity, nearest_similarity
from patchail_jax.errors import choose
from patchail_jax.methods import drqv2
from patchail_jax.methods.method import Method
from patchail_jax.networks.activations import with_activations
from patchail_jax.networks.geometry import output_size, patch_layers, tile_layers
from patchail_jax.networks.layers import compute_dtype
from patchail_jax.networks.patch_discriminator import PatchDiscriminator
from patchail_jax.networks.patch_transformer import PatchTransformer
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.discriminator import discriminator_update
from patchail_jax.updates.gradient_step import DEVICE_AXIS, make_optimizer
from patchail_jax.updates.pairs import make_pairs


@flax.struct.dataclass
class State(drqv2.State):
    """DrQ-v2's state, the discriminator's, and lambda of Eq. 9 and 10 ``[]``, 0 until the first update sets it."""

    discriminator: Any
    discriminator_optimizer: Any
    similarity_scale: Any


def make(
    specs: Specs,
    *,
    agent: dict[str, Any],
    network: dict[str, Any],
    discriminator: dict[str, Any],
    reward: dict[str, Any],
    similarity: dict[str, Any],
    transformer: dict[str, Any],
    cloning: dict[str, Any],
) -> Method:
    """PatchAIL for ``specs``; the arguments are the sub-configs of the same names."""
    learner = drqv2.make_learner(specs, cloning, **agent, **network)
    return _make(specs, learner, network["precision"], transformer, **discriminator, **reward, **similarity)


def _make(
    specs: Specs,
    learner: drqv2.Learner,
    precision: str,
    transformer: dict[str, Any],
    *,
    architecture: str,
    kernel_size: int,
    channels: int,
    optimizer: str,
    learning_rate: float,
    decay: dict[str, Any],
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
    regularizer: str,
    scale_initial: float,
    distribution: str,
    expert: str,
    expert_pairs: str,
    agent_pairs: str,
) -> Method:
    dtype = compute_dtype(precision)
    discriminator, layers = choose(
        {
            "convolutional": lambda: (PatchDiscriminator(kernel_size, channels, dtype), patch_layers(kernel_size)),
            "transformer": lambda: (
                PatchTransformer(**transformer, dtype=dtype),
                tile_layers(transformer["patch_size"], specs.image_size),
            ),
        },
        architecture,
        field="discriminator.architecture",
    )()
    adam = make_optimizer(optimizer, learning_rate, decay, group="discriminator")
    pairs = make_pairs(
        specs,
        observation=observation,
        augmentation=augmentation,
        augmentation_pad=augmentation_pad,
        agent_successor=agent_successor,
    )
    to_patch_rewards = choose(REWARD_FORMS, form, field="reward.form")
    aggregate = choose(AGGREGATIONS, aggregation, field="reward.aggregation")
    at_update = choose({"at_update": True, "at_episode_end": False}, moment, field="reward.moment")
    regularize = choose({"none": None, **REGULARIZERS}, regularizer, field="similarity.regularizer")
    to_log_distribution = choose(DISTRIBUTIONS, distribution, field="similarity.distribution")
    choose(dict.fromkeys(("mean", "mean_logits", "nearest")), expert, field="similarity.expert")
    whole_demonstration = choose({"batch": False, "trajectory": True}, expert_pairs, field="similarity.expert_pairs")
    every_step = choose({"steps": True, "window": False}, agent_pairs, field="similarity.agent_pairs")
    output_size(specs.image_size, layers)  # refuses images that are too small

    def logits_of(params: Any, inputs: Any) -> Any:
        """``[B,P,P]``, high for the expert."""
        return discriminator.apply(params, inputs)

    def init(key: Any) -> State:
        learner_key, discriminator_key = jax.random.split(key)
        base = learner.method.init(learner_key)
        frames = jnp.zeros((1, specs.frame_stack + 1, *specs.frame_shape), specs.frame_dtype)
        params = discriminator.init(discriminator_key, pairs.at(frames, 0))
        return State(
            **vars(base),
            discriminator=params,
            discriminator_optimizer=adam.init(params),
            similarity_scale=jnp.zeros(()),
        )

    def to_rewards(logits: Any) -> Any:
        """Logits ``[B,n,P,P]`` to rewards ``[B,n]`` (Eq. 5)."""
        return aggregate(scale * to_patch_rewards(logits))

    def window_logits(params: Any, frames: Any) -> Any:
        """Logits ``[B,n,P,P]`` of every step of the windows ``[B,S+n,H,W,3]`` (Algorithm 1, line 7)."""
        logits = logits_of(params, pairs.of_windows(frames, specs.n_step))
        return jnp.swapaxes(jnp.reshape(logits, (specs.n_step, -1, *logits.shape[1:])), 0, 1)

    def similarity_to_expert(params: Any, logits: Any, batch: Batch) -> Any:
        """Similarity ``[B,m]`` of agent logits ``[B,m,P,P]`` to the expert pairs on all devices."""
        frames = batch.demonstration if whole_demonstration else batch.expert.frames
        expert_logits = logits_of(params, pairs.at(frames, 0))
        log_agent = to_log_distribution(jnp.reshape(logits, (-1, *logits.shape[2:])))
        if expert == "nearest":
            log_experts = to_log_distribution(jax.lax.all_gather(expert_logits, DEVICE_AXIS, tiled=True))
            similarity = nearest_similarity(log_agent, log_experts)
        elif expert == "mean_logits":
            log_expert = to_log_distribution(jax.lax.pmean(jnp.mean(expert_logits, axis=0), DEVICE_AXIS))
            similarity = mean_similarity(log_agent, log_expert)
        else:
            shares = jnp.mean(jnp.exp(to_log_distribution(expert_logits)), axis=0)
            similarity = mean_similarity(log_agent, jnp.log(jax.lax.pmean(shares, DEVICE_AXIS)))
        return jnp.reshape(similarity, logits.shape[:2])

    def rewards_of(state: State, params: Any, batch: Batch) -> tuple[Any, Any, dict[str, Any]]:
        """Rewards ``[B,n]`` of the batch's windows, lambda, and metrics."""
        frames = batch.agent.frames
        by_step = at_update or (regularize is not None and every_step)
        logits = window_logits(params, frames) if by_step else None
        rewards = to_rewards(logits) if at_update else batch.agent.rewards
        if regularize is None:
            return rewards, state.similarity_scale, {}
        if not every_step:
            logits = logits_of(params, pairs.at(frames, 0, specs.n_step))[:, None]
        similarity = similarity_to_expert(params, logits, batch)
        mean = jax.lax.pmean(jnp.mean(similarity), DEVICE_AXIS)
        similarity_scale = jnp.where(state.similarity_scale == 0, scale_initial / mean, state.similarity_scale)
        metrics = {"reward/similarity": mean, "reward/similarity_scale": similarity_scale}
        return regularize(rewards, similarity, scale=similarity_scale), similarity_scale, metrics

    def update(state: State, batch: Batch) -> tuple[State, dict[str, Any]]:
        key = jax.random.fold_in(state.key, state.update)
        expert_key, agent_key, mix_key, learn_key = jax.random.split(key, 4)
        params, optimizer_state, metrics = discriminator_update(
            state.discriminator,
            state.discriminator_optimizer,
            adam,
            logits=logits_of,
            **pairs.for_update(batch, expert_key, agent_key, mix_key),
            penalty_weight=penalty_weight,
            penalty_pixel_scale=penalty_pixel_scale,
        )
        rewards, similarity_scale, reward_metrics = rewards_of(state, params, batch)
        state = dataclasses.replace(
            state,
            discriminator=params,
            discriminator_optimizer=optimizer_state,
            similarity_scale=similarity_scale,
        )
        state, learner_metrics = learner.learn(state, batch, rewards, learn_key)
        return state, {**metrics, **reward_metrics, **learner_metrics}

    def judge(state: State, frames: Any) -> Any:
        return scale * to_patch_rewards(logits_of(state.discriminator, pairs.of_episode(frames)))

    def examine(state: State, frames: Any, offsets: Any) -> tuple[Any, dict[str, Any]]:
        return with_activations(logits_of, state.discriminator, pairs.of_episode(frames), offsets)

    def score(state: State, frames: Any) -> Any:
        return aggregate(judge(state, frames))

    return learner.method._replace(
        init=init,
        uses_task_reward=False,
        update=update,
        reads_demonstration=regularize is not None and whole_demonstration,
        score=None if at_update else score,
        judge=judge,
        layers=layers,
        examine=examine,
    )
