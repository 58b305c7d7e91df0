"""Flags become a config, or one line that says what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from patchail_jax.envs.tasks import PAPER_TASKS
from patchail_jax.errors import UserError
from patchail_jax.main import run_folder_of
from patchail_jax.programs.command_line import _flatten, parse
from patchail_jax.run.design import make_method
from patchail_jax.run.presets import PRESETS
from patchail_jax.types import Specs

TASK_CONFIGS = sorted(path for path in Path("configs").glob("*.py") if path.stem not in ("__init__", "base"))


def test_overrides_reach_the_config():
    config = parse(["x", "--config=configs/cheetah.py:drqv2", "--config.env.num_envs=4", "--config.seed=3"]).config
    assert (config.method, config.env.num_envs, config.seed, config.env.task) == ("drqv2", 4, 3, "cheetah_run")


@pytest.mark.parametrize("method", PRESETS)
@pytest.mark.parametrize("path", TASK_CONFIGS, ids=str)
def test_every_task_takes_every_method(path, method):
    config = parse(["x", f"--config={path}:{method}"]).config
    assert config.method == method
    assert f"--config={path}" in path.read_text() or "make quickstart" in path.read_text()


def test_there_is_a_file_for_each_of_the_paper_s_tasks():
    tasks = [parse(["x", f"--config={path}"]).config.env.task for path in TASK_CONFIGS if path.stem != "quickstart"]
    assert sorted(tasks) == sorted(PAPER_TASKS)


def test_the_defaults_are_the_paper_s():
    config = parse(["x", "--config=configs/cheetah.py"]).config
    table = {
        "replay.capacity": 150_000,
        "replay.batch_size": 256,
        "replay.n_step": 3,
        "agent.critic_learning_rate": 1e-4,
        "agent.actor_learning_rate": 1e-4,
        "agent.discount": 0.99,
        "agent.steps_per_update": 2,
        "agent.target_rate": 0.01,
        "agent.random_steps": 2000,
        "agent.std_duration": 500_000,
        "env.action_repeat": 2,
        "env.frame_stack": 3,
        "network.feature_size": 50,
        "network.hidden_size": 1024,
        "discriminator.penalty_weight": 10.0,
        "discriminator.learning_rate": 1e-4,
        "reward.scale": 1.0,
    }
    for name, value in table.items():
        group, field = name.split(".")
        assert config[group][field] == value, name


@pytest.mark.parametrize("method", PRESETS)
def test_the_published_variant_is_every_departure_at_once(method):
    plain, published = (
        dict(_flatten(parse(["x", f"--config=configs/cheetah.py:{method}{suffix}"]).config, ""))
        for suffix in ("", "+published")
    )
    assert published["method"] == method
    fields = [name for name, value in plain.items() if not isinstance(value, ConfigDict)]
    changed = {name: published[name] for name in fields if plain[name] != published[name]}
    departures = {
        "reward.moment": "at_episode_end",
        "discriminator.agent_successor": "n_step",
        "similarity.expert_pairs": "trajectory",
        "similarity.agent_pairs": "window",
        "optimal_transport.features": "trunk",
        "network.precision": "float32",
    }
    assert changed == {name: value for name, value in departures.items() if plain[name] != value}
    assert len(changed) >= 4
    make_method(parse(["x", f"--config=configs/cheetah.py:{method}+published"]).config, Specs(84, 3, 6, 3))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--config is missing"),
        (["--config=configs/chetah.py"], "did you mean configs/cheetah.py"),
        (["--config=configs/cheetah.py:patchial"], "did you mean 'patchail'"),
        (["--config=configs/cheetah.py:patchail+pblished"], "no variant 'pblished'"),
        (["--config=configs/cheetah.py", "--config.env.num_env=3"], "did you mean config.env.num_envs"),
        (["--config", "configs/cheetah.py", "--config.sed=3"], "did you mean config.seed"),
        (["--config=configs/cheetah.py", "--config.seed=x"], "--config.seed=x"),
        (["--config=configs/cheetah.py", "--bar=1"], "bar"),
        (["--config=configs/cheetah.py", "foo"], "what is 'foo'"),
    ],
)
def test_a_wrong_word_is_one_line(words, message):
    with pytest.raises(UserError) as error:
        parse(["x", *words])
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("field", ["env.task", "method"])
@pytest.mark.parametrize("name", ["../../etc", "/etc", "..", "a/b", "", "a\0b"])
def test_no_config_leads_out_of_the_runs_folder(field, name):
    config = parse(["x", "--config=configs/cheetah.py"]).config
    assert run_folder_of(config) == "runs/cheetah_run/patchail/seed_0"
    config.update_from_flattened_dict({field: name})
    with pytest.raises(UserError, match=f"config.{field} is .*, which cannot name a folder"):
        run_folder_of(config)


def test_print_config_prints_and_does_nothing_else(tmp_path):
    command = [sys.executable, "-m", "patchail_jax.main", "--config=configs/finger.py", "--print_config"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "task: finger_spin" in result.stdout and not result.stderr
