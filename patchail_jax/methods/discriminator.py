"""What judges pairs in an adversarial method: the record that PatchAIL and the encoder baselines fill in."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax

from patchail_jax.equations.gradient_penalty import PENALISED, Norms, by_channels, by_samples, gradient_penalty
from patchail_jax.errors import UserError, choose
from patchail_jax.methods import drqv2
from patchail_jax.methods.method import Config, Metrics, Policy, State, SubConfig
from patchail_jax.methods.reward import is_every_step
from patchail_jax.networks.geometry import Layer
from patchail_jax.types import Batch, Specs
from patchail_jax.updates.discriminator import discriminator_update
from patchail_jax.updates.gradient_step import DEVICE_AXIS, make_optimizer
from patchail_jax.updates.pairs import Pairs, make_pairs


class UpdateKeys(NamedTuple):
    """The random draws of one update: augmentation of expert and agent, the penalty's inputs, the learner, rewards."""

    expert: jax.Array
    agent: jax.Array
    mix: jax.Array
    learner: jax.Array
    reward: jax.Array


@flax.struct.dataclass
class DiscriminatorState:
    """A discriminator's parameters and its optimizer's state."""

    params: Policy
    optimizer: optax.OptState


class Discriminator(NamedTuple):
    """Functions of a method's state: ``learner`` is a ``drqv2.State``, ``discriminator`` a ``DiscriminatorState``."""

    init: Callable[..., DiscriminatorState]
    """``init(keys [2,2], learner)``: the first parameters; ``learner`` is ``drqv2.State``."""

    update: Callable[[State, Batch, UpdateKeys], tuple[DiscriminatorState, Metrics]]
    """One step on expert and agent pairs (Eq. 4 and the gradient penalty)."""

    logits: Callable[[State, jax.Array], jax.Array]
    """``logits(state, inputs [B,H,W,C]) -> [B,P,P]``, high for the expert."""

    window_logits: Callable[[State, Sequence[jax.Array]], jax.Array]
    """``window_logits(state, stacks) -> [B,m,P,P]``: of each of m + 1 states ``[B,H,W,3S]`` and the next one."""

    examine: Callable[[State, Any, Any], tuple[jax.Array, dict[str, jax.Array]]]
    """As ``method.Judge.examine``."""

    pairs: Pairs
    layers: tuple[Layer, ...]
    convolutional: bool
    reads: str = ""
    """As ``method.Judge.reads``."""


def judge_windows(judge: Callable[[jax.Array], jax.Array], pairs: Pairs, states: Sequence[jax.Array]) -> jax.Array:
    """``judge(inputs) -> [B,P,P]`` of each of m + 1 states ``[B,...,C]`` and the next one, ``[B,m,P,P]``."""
    found = judge(jnp.concatenate([pairs.to_input(*two) for two in itertools.pairwise(states)]))
    return jnp.swapaxes(jnp.reshape(found, (len(states) - 1, -1, *found.shape[1:])), 0, 1)


def pairs_of(specs: Specs, config: Config) -> Pairs:
    """What is judged, by ``config.discriminator`` and, where it is no update's, by ``config.reward.pairs``.

    The learner's views are those of its shift: ``UserError`` where another augmentation is asked for.
    """
    judge, pad = config["discriminator"], config["discriminator"]["augmentation_pad"]
    if judge["agent_views"] == "learner":
        pad = config["agent"]["shift_pad"]
        if judge["augmentation"] != "random_shift":
            raise UserError(
                "config.discriminator.agent_views=learner needs config.discriminator.augmentation=random_shift"
            )
    fields = ("observation", "augmentation", "agent_successor", "expert_successor")
    by_window = not is_every_step(config["reward"])
    return make_pairs(specs, **{field: judge[field] for field in fields}, augmentation_pad=pad, by_window=by_window)


class Trainer(NamedTuple):
    """How a discriminator's parameters begin and change."""

    start: Callable[[Policy], DiscriminatorState]
    step: Callable[[State, Batch, UpdateKeys], tuple[DiscriminatorState, Metrics]]


def make_trainer(
    config: SubConfig,
    pairs: Pairs,
    *,
    logits: Callable[[Policy, jax.Array], jax.Array],
    represent: Callable[[State, Policy, jax.Array], jax.Array],
    pixel_scale: float,
) -> Trainer:
    """By ``config.discriminator``: ``logits(params, features)`` of ``represent(state, params, inputs)``."""
    optimizer = make_optimizer(config["optimizer"], config["learning_rate"], config["decay"], group="discriminator")
    views = {
        "own": lambda keys: jax.random.split(keys.agent),
        "learner": lambda keys: drqv2.update_keys(keys.learner)[:2],
    }
    agent_keys = choose(views, config["agent_views"], field="discriminator.agent_views")
    groups: dict[str, Norms] = {
        "samples": by_samples,
        "channels": functools.partial(by_channels, axis_name=DEVICE_AXIS),
    }
    penalty = functools.partial(
        gradient_penalty,
        weight=config["penalty_weight"],
        pixel_scale=pixel_scale,
        of=choose(PENALISED, config["penalty_of"], field="discriminator.penalty_of"),
        norms_of=choose(groups, config["penalty_groups"], field="discriminator.penalty_groups"),
    )

    def step(state: State, batch: Batch, keys: UpdateKeys) -> tuple[DiscriminatorState, Metrics]:
        params, optimizer_state, metrics = discriminator_update(
            state.discriminator.params,
            state.discriminator.optimizer,
            optimizer,
            represent=lambda params, inputs: represent(state, params, inputs),
            logits=logits,
            **pairs.for_update(batch, jax.random.split(keys.expert), agent_keys(keys), keys.mix),
            penalty=functools.partial(penalty, index=batch.expert_index),
        )
        return DiscriminatorState(params, optimizer_state), metrics

    return Trainer(lambda params: DiscriminatorState(params, optimizer.init(params)), step)
