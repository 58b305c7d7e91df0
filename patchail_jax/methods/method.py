"""The form every method has: a record of pure functions that the loop and the devices layer know how to run."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from patchail_jax.arrays import Key, Scalars
from patchail_jax.networks.geometry import Layer
from patchail_jax.types import Batch

SubConfig = Mapping[str, Any]  # one group of the config, as a plain dict
Config = Mapping[str, SubConfig]  # all groups, by name
State = Any  # a pytree of arrays, the method's own
Policy = Any  # a pytree of parameters: the part of the state that acting reads
Metrics = Scalars
NOTHING: Mapping[str, Policy] = MappingProxyType({})  # of another run: the default of ``Method.init``


class Needs(NamedTuple):
    """What a method reads beside its batches of frames."""

    task_reward: bool = False
    """Replay keeps the task's own rewards; imitators never see them."""

    actions: bool = False
    """Updates read the expert's actions: demonstrations without them are refused."""

    demonstration: bool = False
    """An update reads one whole demonstration (``types.Batch.demonstration``)."""

    environment: bool = True
    """It learns from what it plays; a method that does not only makes its updates."""

    expert_steps: int = 1
    """Steps between s and s' of the expert's pairs."""

    whole_episodes: bool = False
    """``label`` needs a whole episode, and all demonstrations beside it."""


class Judge(NamedTuple):
    """A method's discriminator, for those who look at it: maps, films, histograms."""

    patch_rewards: Callable[[jax.Array], jax.Array]
    """``patch_rewards(logits [...,P,P]) -> [...,P,P]`` (the h of Eq. 5, scaled), not aggregated."""

    rewards: Callable[[jax.Array], jax.Array]
    """``rewards(logits [...,P,P]) -> rewards [...]`` (Eq. 5, scaled)."""

    examine: Callable[[State, Any, Any], tuple[jax.Array, dict[str, jax.Array]]]
    """``examine(state, frames [t+S,H,W,3], offsets) -> (logits [t,P,P], activations {layer: [t,h,w,c]})``, layers in
    order; ``offsets``, {} or of the activations' form, are added to them for gradients. P is 1 where the frame is
    judged as a whole."""

    layers: tuple[Layer, ...]
    """Where on the image each patch lies."""

    convolutional: bool
    """Whether there are activations to look at."""

    reach: int = 1
    """Steps k between the s and s' that it judges: frames are ``[t+S+k-1,H,W,3]`` above."""

    reads: str = ""
    """What of the learner it sees through, "encoder" or "critic"; "" where it has all that it needs."""


class Method(NamedTuple):
    """Pure functions of one method; networks and optimizers are closed over, the state is arrays only."""

    init: Callable[..., State]
    """``init(key [2] uint32, parts={}) -> state``, the first one. It begins with what another run has learned:
    ``parts`` has some of "encoder", "actor" and, where there is one, "discriminator", in the shapes of its own."""

    publish: Callable[[State], Policy]
    """``publish(state) -> policy``."""

    explore: Callable[[Policy, jax.Array, Key, jax.Array], jax.Array]
    """``explore(policy, observations [B,H,W,3S] uint8, key, agent_step) -> actions [B,A]`` with noise."""

    exploit: Callable[[Policy, jax.Array], jax.Array]
    """``exploit(policy, observations) -> actions [B,A]``: the mean action, for evaluation."""

    update: Callable[[State, Batch], tuple[State, Metrics]]
    """``update(state, batch) -> (state, metrics)``, under ``gradient_step.DEVICE_AXIS``; metrics are scalars of this
    device's shard."""

    needs: Needs = Needs()

    label: Callable[[State, jax.Array, Any], tuple[State, jax.Array]] | None = None
    """``label(state, frames [t+S,H,W,3], None) -> (state, rewards [t])`` for t consecutive steps of a finished episode,
    with S-1 frames before the first step's own. Where ``needs.whole_episodes``, ``label(state, frames [T+1,H,W,3],
    (length [], demonstrations [D,M+1,H,W,3], steps [D]))``, an episode of up to T steps and demonstrations of up to M
    each. None where the stored rewards are the task's or are not read."""

    pretrain: Callable[[State, Batch], tuple[State, Metrics]] | None = None
    """As ``update``, on the expert's pairs alone: ``config.cloning.pretraining_updates`` of them, before the first
    step is played."""

    discriminator: Judge | None = None
