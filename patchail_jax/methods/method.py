"""The form every method has: a record of pure functions that the loop and the devices layer know how to run."""

from collections.abc import Callable
from typing import Any, NamedTuple

from patchail_jax.networks.geometry import Layer


class Method(NamedTuple):
    """Pure functions of one method; networks and optimizers are closed over, the state is arrays only."""

    init: Callable[[Any], Any]
    """``init(key [2] uint32) -> state``, a pytree of arrays."""

    uses_task_reward: bool
    """Whether replay keeps the task's own rewards; imitators never see them."""

    publish: Callable[[Any], Any]
    """``publish(state) -> parameters``: the part of the state that acting reads."""

    explore: Callable[[Any, Any, Any, Any], Any]
    """``explore(parameters, observations [B,H,W,3S] uint8, key, agent_step) -> actions [B,A]`` with noise."""

    exploit: Callable[[Any, Any], Any]
    """``exploit(parameters, observations) -> actions [B,A]``: the mean action, for evaluation."""

    update: Callable[[Any, Any], tuple[Any, dict[str, Any]]]
    """``update(state, batch: types.Batch) -> (state, metrics)``, under ``gradient_step.DEVICE_AXIS``; metrics are
    scalars of this device's shard."""

    reads_demonstration: bool
    """Whether an update reads one whole demonstration (``types.Batch.demonstration``)."""

    reads_actions: bool
    """Whether updates read the expert's actions: demonstrations without them are refused."""

    score: Callable[[Any, Any], Any] | None
    """``score(state, frames [t+S,H,W,3]) -> rewards [t]`` for t consecutive steps of a finished episode, with S-1
    frames before the first step's own; None where the stored rewards are the task's or are ignored."""

    judge: Callable[[Any, Any], Any] | None
    """``judge(state, frames [t+S,H,W,3]) -> patch rewards [t,P,P]``, not aggregated; None without a discriminator.
    P is 1 where the frame is judged as a whole."""

    layers: tuple[Layer, ...] | None
    """Where on the image each of ``judge``'s patches lies; None without patches."""

    examine: Callable[[Any, Any, Any], tuple[Any, dict[str, Any]]] | None = None
    """``examine(state, frames [t+S,H,W,3], offsets) -> (logits [t] or [t,P,P], activations {layer: [t,h,w,c]})`` of the
    discriminator, its layers in order; ``offsets``, {} or of the activations' form, are added to them for gradients."""

    plays: bool = True
    """Whether it learns from what it plays; a method that does not only makes its updates."""

    pretrain: Callable[[Any, Any], tuple[Any, dict[str, Any]]] | None = None
    """As ``update``, on the expert's pairs alone: ``config.cloning.pretraining_updates`` of them, before the first
    step is played."""

    score_episode: Callable[[Any, Any, Any, Any], tuple[Any, Any]] | None = None
    """``score_episode(state, frames [T+1,H,W,3], demonstrations [D,M+1,H,W,3], steps [D]) -> (state, rewards [T])`` in
    the place of ``score``, where rewards need a whole episode and all demonstrations, of up to M steps each."""
