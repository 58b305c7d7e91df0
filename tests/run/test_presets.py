"""The numbers of the paper's methods, as they stand in the paper."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.envs.tasks import PAPER_TASKS
from patchail_jax.errors import UserError
from patchail_jax.methods import drqv2
from patchail_jax.methods.discriminator import pairs_of
from patchail_jax.programs.command_line import parse
from patchail_jax.run.config import FIELDS, paper_config
from patchail_jax.run.design import make_method, make_specs
from patchail_jax.run.number import Number
from patchail_jax.run.presets import PRESETS
from patchail_jax.run.refusals import refuse
from patchail_jax.storage.run_config import flatten


def test_the_regularised_methods_are_the_paper_s():
    chosen = {name: paper_config("cheetah_run", name) for name in ("patchail", "patchail_w", "patchail_b")}
    found = {
        name: (config.similarity.regularizer, config.similarity.scale_initial, config.reward.scale)
        for name, config in chosen.items()
        if name != "patchail"
    }
    assert found == {"patchail_w": ("weight", 1.3, 1.0), "patchail_b": ("bonus", 0.5, 0.5)}
    assert (chosen["patchail"].similarity.regularizer, chosen["patchail"].reward.scale) == ("none", 1.0)
    for config in chosen.values():
        assert (config.reward.form, config.reward.aggregation, config.reward.moment) == ("airl", "mean", "at_update")
        assert (config.similarity.expert, config.discriminator.kernel_size) == ("mean", 4)
        assert config.discriminator.penalty_weight == 10.0


def test_the_published_program_departs_where_it_does():
    config = paper_config("cheetah_run", "patchail_w+published")
    assert config.reward.moment == "at_episode_end"
    assert config.discriminator.agent_successor == "n_step"
    assert (config.similarity.expert_pairs, config.similarity.agent_pairs) == ("trajectory", "window")
    assert config.similarity.regularizer == "weight"


def test_the_published_program_s_numbers_by_task_and_method():
    def numbers(task, method):
        config = paper_config(task, f"{method}+published")
        replay = config.replay.n_step, config.replay.batch_size, config.replay.expert_batch_size
        return config.num_frames, replay, config.discriminator.penalty_groups, config.agent.shift_pad

    assert numbers("finger_spin", "patchail") == (1_806_000, (3, 256, 128), "channels", 4)
    for task in ("walker_walk", "walker_stand", "walker_run"):
        assert numbers(task, "patchail_b") == (1_806_000, (1, 512, 256), "channels", 4)
    assert numbers("finger_spin", "independent_encoder_ail")[2] == "samples"
    assert numbers("cheetah_run", "bc") == (220_000, (3, 256, 128), "channels", 0)
    rot = paper_config("cheetah_run", "rot+published")
    assert (rot.num_frames, rot.optimal_transport.target_steps) == (1_101_000, 10_000)
    assert rot.optimal_transport.first_observation and rot.optimal_transport.filter_features == "reference"
    durations = [
        paper_config(task, f"{method}+published").agent.std_duration
        for task, method in (("finger_spin", "drqv2"), ("cheetah_run", "drqv2"), ("finger_spin", "patchail"))
    ]
    assert durations == [100_000, 500_000, 500_000]


@pytest.mark.parametrize("method", PRESETS)
def test_every_method_in_small_is_a_run_that_is_not_refused(method):
    for task in PAPER_TASKS:
        config = paper_config(task, f"{method}+small")
        specs = make_specs(config, action_size=6)
        refuse(config, make_method(config, specs), specs, devices=1, processes=1)
        assert config.num_frames <= paper_config(task, method).num_frames
        seconds = 0.02 * config.env.action_repeat
        assert math.log(0.99) / 0.02 / 2 == pytest.approx(math.log(config.agent.discount) / seconds, rel=0.01)


@pytest.mark.parametrize(
    ("method", "field", "value", "message"),
    [
        ("shared_encoder_ail", "similarity.regularizer", "weight", "is for patches"),
        ("independent_encoder_ail", "similarity.regularizer", "bonus", "is for patches"),
        ("laifo", "similarity.regularizer", "weight", "is for patches"),
        ("patchail", "similarity.regularizer", "weight", "makes patchail into patchail_w"),
        ("patchail_b", "similarity.regularizer", "none", "makes patchail_b into patchail: .* --config=finger:patchail"),
        ("drqv2", "cloning.weight_initial", 1.0, "drqv2 has no cloning term"),
        ("bc", "cloning.weight_initial", 0.5, "bc has no cloning term"),
        ("bco", "cloning.schedule", "soft_q_filter", "bco has no cloning term"),
        ("drqv2_features", "env.factory", "mine:make", "features is of the suite's tasks"),
        ("shared_encoder_ail+published", "discriminator.augmentation", "none", "agent_views=learner needs"),
        ("patchail", "transformer.heads", 0, r"must be a multiple of transformer.heads \(0\)"),
        ("patchail", "transformer.heads", 3, r"transformer.width \(128\) must be a multiple of .*heads \(3\)"),
    ],
)
def test_what_would_mean_nothing_is_refused(method, field, value, message):
    config = paper_config("finger_spin", method)
    config.update_from_flattened_dict({field: value})
    if field.startswith("transformer."):
        config.discriminator.architecture = "transformer"
    with pytest.raises(UserError, match=message):
        specs = make_specs(config, action_size=2)
        refuse(config, make_method(config, specs), specs, devices=1, processes=1)


@pytest.mark.parametrize(
    "words", ["quickstart:shared_encoder_ail+published", "finger:shared_encoder_ail+published+small"]
)
def test_the_learner_s_views_are_those_of_its_own_shift(words):
    config = parse(["train", f"--config={words}"]).config
    assert config.agent.shift_pad != config.discriminator.augmentation_pad
    specs, fields = make_specs(config, action_size=1), config.to_dict()
    learner = drqv2.make_learner(specs, fields)
    pairs, keys = pairs_of(specs, fields), drqv2.update_keys(jax.random.PRNGKey(3))
    length = specs.frame_stack + specs.n_step
    frames = np.random.default_rng(0).integers(0, 256, (16, length, *specs.frame_shape), dtype=np.uint8)
    index = jnp.arange(16)
    seen = pairs.states(frames, (0, specs.n_step), keys[:2], index)
    for stack, key, first in zip(seen, keys, (0, specs.n_step), strict=False):
        np.testing.assert_array_equal(stack, learner.observe(key, index, frames, first))


def test_the_tasks_in_small_have_the_same_constants_but_for_what_is_said():
    def changed(task, method="patchail"):
        config, finger = (flatten(paper_config(name, f"{method}+small").to_dict()) for name in (task, "finger_spin"))
        return {key: value for key, value in config.items() if value != finger[key] and key != "env.task"}

    noise = {"agent.preactivation_penalty": 0.03, "agent.std_duration": 30_000}
    flat, steep = ({**noise, "discriminator.penalty_pixel_scale": scale} for scale in (28.0, 255.0))
    slower = {"env.action_repeat": 4, "agent.discount": 0.98, "num_frames": 320_000}
    assert changed("cartpole_swingup") == {}
    assert changed("hopper_stand") == flat
    assert changed("walker_walk") == changed("walker_stand") == {**flat, "replay.n_step": 1}
    assert changed("quadruped_run") == steep
    assert changed("cheetah_run") == {**steep, **slower}
    assert changed("cheetah_run", "rot") == {"agent.std_duration": 30_000}  # its noise is the same at every step
    assert changed("walker_walk", "rot") == {"agent.std_duration": 30_000, "replay.n_step": 1}


def test_whole_numbers_that_updates_compute_with_fit_in_int32():
    groups = {"agent", "network", "discriminator", "transformer", "cloning", "optimal_transport"}
    most = {
        name: number.most
        for name, number in flatten(FIELDS).items()
        if name.partition(".")[0] in groups and isinstance(number, Number) and isinstance(number.default, int)
    }
    assert len(most) > 20 and max(most.values()) <= np.iinfo(np.int32).max
