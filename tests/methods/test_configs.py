"""Every method of the table on every task of the paper: its config builds and its state has a shape."""

import functools

import jax
import pytest

from patchail_jax.demos import trajectory
from patchail_jax.envs.features import feature_count
from patchail_jax.envs.tasks import PAPER_TASKS
from patchail_jax.methods import METHODS
from patchail_jax.programs.command_line import parse
from patchail_jax.run.design import make_method
from patchail_jax.run.presets import PRESETS
from patchail_jax.run.refusals import refuse
from patchail_jax.types import Specs

FILES = {
    "cartpole_swingup": "cartpole",
    "cheetah_run": "cheetah",
    "finger_spin": "finger",
    "hopper_stand": "hopper",
    "walker_stand": "walker_stand",
    "walker_walk": "walker_walk",
    "quadruped_run": "quadruped",
}


@functools.cache
def sizes(task):
    recorded = trajectory.load(trajectory.shipped(task))
    return recorded.actions.shape[2], feature_count(task)


def test_every_config_has_its_method():
    assert set(PRESETS) == set(METHODS) and set(FILES) == set(PAPER_TASKS)


@pytest.mark.parametrize("task", PAPER_TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_made_on_every_task(method, task):
    config = parse(["x", f"--config=configs/{FILES[task]}.py:{method}"]).config
    action_size, features = sizes(task)
    features = features if config.env.observation == "features" else 0
    specs = Specs(config.env.image_size, config.env.frame_stack, action_size, config.replay.n_step, features)
    made = make_method(config, specs)
    state = jax.eval_shape(made.init, jax.random.PRNGKey(0))
    counted = getattr(state, {"bco": "cloned"}.get(method, "learner"), state)
    assert counted.update.shape == ()
    encoder, actor = (jax.eval_shape(made.publish, state)[part] for part in ("encoder", "actor"))
    trunk = (encoder if config.network.trunk == "shared" else actor)["params"]["trunk"]
    assert trunk["projection"]["kernel"].shape == (features or 39_200, 50)
    actor = actor["params"]
    assert actor["mean"]["bias"].shape == (action_size,)
    refuse(config, made, specs, devices=4, processes=1)
