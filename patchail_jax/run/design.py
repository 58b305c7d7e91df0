"""What a config asks for, made of its fields alone: environments, sizes, method, demonstrations, folder."""

import contextlib
import functools
import logging
from typing import Any

from ml_collections import ConfigDict

from patchail_jax.demos.expert_set import ExpertSet, Selection, load_expert_set, select
from patchail_jax.demos.render import task_action_size
from patchail_jax.envs import environment
from patchail_jax.envs.features import FeatureEnvironment, feature_count
from patchail_jax.envs.rendering import choose_backend, opengl_name
from patchail_jax.envs.tasks import names_folder
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError, choose
from patchail_jax.methods import METHODS, Method
from patchail_jax.methods.method import Needs
from patchail_jax.storage.cache import default_cache_dir
from patchail_jax.storage.memory import available
from patchail_jax.types import Specs

_log = logging.getLogger(__name__)

ANY = Needs()  # demonstrations of any kind
IS_FEATURES = {"pixels": False, "features": True}  # config.env.observation


def environment_factory(config: ConfigDict) -> Any:
    """A picklable ``() -> FrameEnvironment``, or one with its interface, for worker processes."""
    choose_backend()  # once for all of them
    env = config.env
    if choose(IS_FEATURES, env.observation, field="env.observation"):
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


def action_size_of(config: ConfigDict) -> int:
    """Length of the action vector, asked of the task, or of an environment of one's own."""
    if not config.env.factory:
        return task_action_size(config.env.task)
    with contextlib.closing(environment_factory(config)()) as one:
        return int(one.action_size)


def make_specs(config: ConfigDict, action_size: int) -> Specs:
    """The sizes that everything must agree on. ``UserError`` for features of an environment of one's own."""
    env, features = config.env, 0
    if choose(IS_FEATURES, config.env.observation, field="env.observation"):
        if env.factory:
            raise UserError("config.env.observation=features is of the suite's tasks; config.env.factory shows pixels")
        features = feature_count(env.task)
    return Specs(env.image_size, env.frame_stack, action_size, config.replay.n_step, features)


def make_method(config: ConfigDict, specs: Specs) -> Method:
    """The method's pure functions; ``UserError`` names a field that does not fit."""
    return choose(METHODS, config.method, field="method")(specs, config.to_dict())


def select_demonstrations(config: ConfigDict, needs: Needs) -> Selection:
    """The demonstrations that the config asks for, not yet drawn; ``UserError`` where they have not what it needs."""
    demos = config.demos
    return select(
        view_of(config),
        path=demos.path,
        num_demonstrations=demos.num_demonstrations,
        memory=available(),
        with_actions=needs.actions,
        apart=needs.expert_steps,
    )


def load_experts(
    config: ConfigDict, action_size: int, needs: Needs = ANY, *, agent_renderer: str | None = None
) -> ExpertSet:
    """The demonstrations, shown as the agent's frames are; ``UserError`` as of ``select_demonstrations``.

    Also where states would be drawn by another renderer than ``agent_renderer`` (None: it is not this program's, or
    does not matter) and ``config.demos.other_renderer`` does not allow it.
    """
    selection = select_demonstrations(config, needs)
    if selection.seen.frames is None and agent_renderer is not None:
        compare_renderers(opengl_name(), agent_renderer, may_differ=config.demos.other_renderer)
    cache_dir = config.demos.cache_dir or default_cache_dir()
    return load_expert_set(selection, view_of(config), cache_dir=cache_dir, action_size=action_size)


def compare_renderers(expert: str, agent: str, *, may_differ: bool) -> None:
    """``UserError`` where expert and agent are drawn by different renderers, or a warning where they may be."""
    if expert == agent:
        return
    both = f"the expert is drawn by {expert} and the agent by {agent}: a discriminator may learn that difference alone"
    if not may_differ:
        raise UserError(f"{both}. Draw both on the same device (MUJOCO_GL), or set config.demos.other_renderer=True")
    _log.warning("%s", both)


def run_folder_of(config: ConfigDict) -> str:
    """The folder a config names, or the one that follows from task, method and seed, below runs/ whatever they are."""
    for field, name in (("env.task", config.env.task), ("method", config.method)):
        if not names_folder(name):
            raise UserError(f"config.{field} is {name!r}, which cannot name a folder")
    return config.run_folder or f"runs/{config.env.task}/{config.method}/seed_{config.seed}"
