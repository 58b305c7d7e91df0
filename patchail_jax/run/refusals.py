"""Every refusal about a config's numbers, names and combinations of them, before anything is made or waited for."""

from typing import Any

import jax
from ml_collections import ConfigDict

from patchail_jax.devices.frames_on_devices import ON_DEVICE
from patchail_jax.devices.hosts import refuse_address
from patchail_jax.devices.mapping import MAPPINGS
from patchail_jax.envs.look import LOOKS
from patchail_jax.envs.rendering import QUALITIES
from patchail_jax.envs.workers import POOLS
from patchail_jax.errors import UserError, choose
from patchail_jax.methods import Method
from patchail_jax.methods.cloning_weight import clones
from patchail_jax.outputs.dashboards import WANDB_MODES
from patchail_jax.outputs.tensorboard import require_tensorboard
from patchail_jax.run.config import refuse_numbers
from patchail_jax.run.design import IS_FEATURES, make_method, make_specs
from patchail_jax.run.inheritance import refuse_parts
from patchail_jax.run.presets import PRESETS
from patchail_jax.run.sizes import expert_batch_size, ring_slots
from patchail_jax.storage.run_config import flatten
from patchail_jax.types import Specs

# Fields that name one of several things, where ``METHODS[...]`` does not look at them.
NAMES: dict[str, Any] = {
    "device_mapping": MAPPINGS,
    "env.observation": IS_FEATURES,
    "env.workers": POOLS,
    "env.quality": QUALITIES,
    "env.look": dict.fromkeys(LOOKS),
    "replay.frames_on_device": ON_DEVICE,
    "log.wandb_mode": dict.fromkeys(WANDB_MODES),
}
# PatchAIL's names, by similarity.regularizer.
_PATCHAIL = {"none": "patchail"} | {
    preset["similarity.regularizer"]: name for name, preset in PRESETS.items() if "similarity.regularizer" in preset
}
PLATFORMS = dict.fromkeys(("gpu", "tpu", "cpu"))  # config.platform, "" aside


def refuse(config: ConfigDict, method: Method, specs: Specs, *, devices: int, processes: int) -> None:
    """``UserError``, one line, for numbers, names and combinations of them that make no run.

    ``devices`` are those of one process. What a file, a disk or memory may refuse is asked for where it is opened.
    """
    refuse_numbers(config)
    hosts = config.hosts
    refuse_address(coordinator=hosts.coordinator, count=hosts.count, index=hosts.index)
    values = flatten(config.to_dict())
    for field, table in NAMES.items():
        choose(table, values[field], field=field)
    if config.log.tensorboard:
        require_tensorboard()
    _refuse_platform(config.platform)
    _refuse_regularizer(config)
    _refuse_batches(config, devices * processes)
    _refuse_episodes(config, method)
    refuse_parts(config, method)
    needs = method.needs
    if processes > 1 and needs.whole_episodes:
        raise UserError(
            f"{config.method} cannot train across several processes: its reward scale comes from one process's first "
            "episode"
        )
    if specs.feature_count and not needs.task_reward:
        raise UserError(f"{config.method} imitates pixels; config.env.observation must be pixels")
    if config.replay.rescore_updates and (method.label is None or needs.whole_episodes):
        may_store = method.discriminator is not None and config.reward.pairs != "window"
        raise UserError(
            "config.replay.rescore_updates is for rewards of a discriminator that replay stores: set it to 0"
            + (", or config.reward.moment=at_episode_end" if may_store else "")
        )
    if clones(config.cloning) and not (needs.actions and needs.environment):
        raise UserError(
            f"{config.method} has no cloning term beside its own loss: config.cloning.weight_initial must be 0, and "
            "config.cloning.schedule must not be soft_q_filter"
        )
    if config.cloning.schedule == "exponential" and not clones(config.cloning):
        raise UserError(
            "config.cloning.schedule=exponential lowers config.cloning.weight_initial, which is 0: set it above 0, or "
            "config.cloning.schedule=linear"
        )
    updates, per_call = config.cloning.pretraining_updates, config.replay.updates_per_call
    if updates and method.pretrain is None:
        raise UserError(f"{config.method} is not pre-trained; config.cloning.pretraining_updates must be 0")
    if updates % per_call:
        raise UserError(
            f"config.cloning.pretraining_updates is {updates}; it must be a multiple of "
            f"config.replay.updates_per_call ({per_call})"
        )


def refuse_before(config: ConfigDict, *, processes: int) -> None:
    """``refuse``, with a method made for it, before a folder is opened and an environment started."""
    refuse_numbers(config)
    specs = make_specs(config, action_size=1)
    devices = config.devices or jax.local_device_count()
    refuse(config, make_method(config, specs), specs, devices=devices, processes=processes)


def _refuse_platform(wanted: str) -> None:
    """A run that asks for an accelerator must not crawl on a CPU because the accelerator or its JAX is missing."""
    if not wanted:
        return
    choose(PLATFORMS, wanted, field="platform")
    found = jax.default_backend()
    if wanted != found:
        raise UserError(f"config.platform is {wanted!r}, but JAX runs on {found} here: patchail doctor says why")


def _refuse_regularizer(config: ConfigDict) -> None:
    """PatchAIL with another regulariser has another name, which tables and curves go by."""
    regularizer = config.similarity.regularizer
    name = _PATCHAIL.get(regularizer, config.method)
    if name != config.method and config.method in _PATCHAIL.values():
        raise UserError(
            f"config.similarity.regularizer={regularizer} makes {config.method} into {name}: choose the method by its "
            f"name, as in --config=finger:{name}"
        )


def _refuse_batches(config: ConfigDict, devices: int) -> None:
    """The batch must fall evenly on devices, and the discriminator's share evenly on the batch."""
    sizes = {"batch_size": config.replay.batch_size, "expert_batch_size": expert_batch_size(config)}
    for name, size in sizes.items():
        if size % devices:
            raise UserError(
                f"config.replay.{name} is {size}, which {devices} devices cannot divide evenly: make it a multiple"
            )
    batch, pairs = sizes.values()
    if batch % pairs:
        raise UserError(f"config.replay.batch_size ({batch}) must be a multiple of expert_batch_size ({pairs})")


def _refuse_episodes(config: ConfigDict, method: Method) -> None:
    """An episode must have room for a step, and replay for an episode."""
    env, replay = config.env, config.replay
    if env.episode_frames < env.action_repeat:
        raise UserError(
            f"config.env.action_repeat is {env.action_repeat}, more than the {env.episode_frames} episode_frames"
        )
    steps = -(-env.episode_frames // env.action_repeat)
    if not method.needs.environment:
        return
    if ring_slots(config) < steps + 1:
        raise UserError(
            f"config.replay.capacity is {replay.capacity}, less than an episode: it must be {steps} or more"
        )
    if replay.n_step > steps:
        raise UserError(f"config.replay.n_step is {replay.n_step}, more than the {steps} steps of an episode")
