"""From a config to the parts of a run: environments, sizes, method, demonstrations; and whether they fit together."""

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from patchail_jax.demos.expert_set import ExpertSet, load_expert_set
from patchail_jax.demos.render import task_action_size
from patchail_jax.envs import environment
from patchail_jax.envs.features import FeatureEnvironment, feature_count
from patchail_jax.envs.view import View
from patchail_jax.envs.workers import InlinePool, ProcessPool
from patchail_jax.errors import UserError, choose
from patchail_jax.methods import METHODS, Method
from patchail_jax.run.config import paper_config
from patchail_jax.storage.cache import default_cache_dir
from patchail_jax.storage.memory import available
from patchail_jax.types import Specs

AnyPool = InlinePool | ProcessPool

OBSERVATIONS = {"pixels": False, "features": True}  # config.env.observation: whether they are the physics' features


def stored_config(stored: dict[str, Any]) -> ConfigDict:
    """A run's ``config.json``; fields that are newer than the run have their defaults. ``KeyError`` for other files."""
    config = paper_config(stored["env"]["task"], stored["method"])
    config.update(stored)
    return config


def environment_factory(config: ConfigDict) -> Any:
    """A picklable ``() -> FrameEnvironment``, or one with its interface, for worker processes."""
    env = config.env
    if choose(OBSERVATIONS, env.observation, field="env.observation"):
        return functools.partial(
            FeatureEnvironment, task=env.task, action_repeat=env.action_repeat, episode_frames=env.episode_frames
        )
    return functools.partial(environment.make, view_of(config), episode_frames=env.episode_frames)


def view_of(config: ConfigDict) -> View:
    """How the config shows frames, the agent's and the expert's."""
    env = config.env
    camera_id = None if env.camera_id < 0 else env.camera_id
    return View(
        env.task, env.action_repeat, env.image_size, camera_id, env.quality, env.look, env.look_size, env.factory
    )


def action_size(config: ConfigDict) -> int:
    """Length of the action vector, asked of the task, or of an environment of one's own."""
    if not config.env.factory:
        return task_action_size(config.env.task)
    with contextlib.closing(environment_factory(config)()) as environment:
        return int(environment.action_size)


def make_specs(config: ConfigDict, action_size: int) -> Specs:
    """The sizes that everything must agree on."""
    env = config.env
    features = feature_count(env.task) if OBSERVATIONS[env.observation] else 0
    return Specs(env.image_size, env.frame_stack, action_size, config.replay.n_step, features)


def make_pool(make_environment: Any, num_envs: int, workers: str) -> AnyPool:
    """``num_envs`` environments in processes, or in this one."""
    make: dict[str, Callable[[Any, int], AnyPool]] = {"process": ProcessPool, "inline": InlinePool}
    return choose(make, workers, field="env.workers")(make_environment, num_envs)


def make_method(config: ConfigDict, specs: Specs) -> Any:
    """The method's pure functions; each gets the sub-configs that its parameters name."""
    make = METHODS[config.method]
    groups = [name for name in inspect.signature(make).parameters if name != "specs"]
    return make(specs, **{group: config[group].to_dict() for group in groups})


def load_experts(config: ConfigDict, action_size: int, *, with_actions: bool = False) -> ExpertSet:
    """The demonstrations, shown as the agent's frames are; ``UserError`` where wanted actions are not known."""
    demos = config.demos
    return load_expert_set(
        view_of(config),
        path=demos.path,
        num_demonstrations=demos.num_demonstrations,
        cache_dir=demos.cache_dir or default_cache_dir(),
        action_size=action_size,
        memory=available(),
        with_actions=with_actions,
    )


def ring_slots(config: ConfigDict) -> int:
    """Frame slots for ``replay.capacity`` transitions: an episode of T transitions has T+1 frames."""
    steps = max(config.env.episode_frames // config.env.action_repeat, 1)
    return config.replay.capacity + -(-config.replay.capacity // steps)


def check_fit(config: ConfigDict, method: Method, processes: int) -> None:
    """What the config asks of the method must be something that it does, in as many processes as there are."""
    if processes > 1 and method.score_episode is not None:
        raise UserError(f"{config.method} scales its rewards by the first episode, and runs in one process alone")
    if OBSERVATIONS[config.env.observation] and not method.uses_task_reward:
        raise UserError(f"{config.method} imitates pixels; config.env.observation must be pixels")
    if config.replay.rescore_updates and method.score is None:
        raise UserError(
            "config.replay.rescore_updates is for stored rewards of a discriminator: "
            "set it to 0, or config.reward.moment=at_episode_end"
        )
    updates, per_call = config.cloning.pretraining_updates, config.replay.updates_per_call
    if updates and method.pretrain is None:
        raise UserError(f"{config.method} is not pre-trained; config.cloning.pretraining_updates must be 0")
    if updates % per_call:
        raise UserError(f"config.cloning.pretraining_updates is {updates}, no multiple of {per_call} updates_per_call")


def check_divisibility(config: ConfigDict, devices: int) -> None:
    """The batch must fall evenly on devices, and the discriminator's share evenly on the batch."""
    replay = config.replay
    for name in ("batch_size", "expert_batch_size"):
        if replay[name] % devices:
            raise UserError(f"config.replay.{name} is {replay[name]}, which {devices} devices cannot share evenly")
    if replay.batch_size % replay.expert_batch_size:
        raise UserError(
            f"config.replay.batch_size ({replay.batch_size}) must be a multiple of "
            f"expert_batch_size ({replay.expert_batch_size})"
        )
