"""Flags become a config, or one line that says what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from patchail_jax.envs.tasks import PAPER_TASKS
from patchail_jax.errors import UserError
from patchail_jax.programs.command_line import parse
from patchail_jax.run.design import make_method, run_folder_of
from patchail_jax.run.presets import PRESETS
from patchail_jax.storage.run_config import flatten
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


@pytest.mark.parametrize("method", [method for method in PRESETS if method != "laifo"])
def test_the_published_variant_is_every_departure_at_once(method):
    plain, published = (
        flatten(parse(["x", f"--config=configs/cheetah.py:{method}{suffix}"]).config.to_dict())
        for suffix in ("", "+published")
    )
    assert published["method"] == method
    changed = {name: published[name] for name in plain if plain[name] != published[name]}
    departures = {
        "num_frames": 1_806_000,
        "reward.moment": "at_episode_end",
        "reward.order": "aggregation_first",
        "discriminator.agent_successor": "n_step",
        "discriminator.penalty_groups": "channels",
        "similarity.expert": "mean_scores",
        "similarity.expert_pairs": "trajectory",
        "similarity.agent_pairs": "window",
        "network.precision": "float32",
    }
    departures |= {
        "shared_encoder_ail": {"discriminator.penalty_groups": "samples", "discriminator.agent_views": "learner"},
        "independent_encoder_ail": {"discriminator.penalty_groups": "samples"},
        "bc": {"num_frames": 220_000, "agent.shift_pad": 0},
        "rot": {
            "num_frames": 1_101_000,
            "optimal_transport.features": "trunk",
            "optimal_transport.first_observation": True,
            "optimal_transport.filter_features": "reference",
            "optimal_transport.target_steps": 10_000,
        },
    }.get(method, {})
    assert changed == {name: value for name, value in departures.items() if plain[name] != value}
    assert len(changed) >= 7
    make_method(parse(["x", f"--config=configs/cheetah.py:{method}+published"]).config, Specs(84, 3, 6, 3))


def test_laifo_s_published_variant_is_its_own_program_s():
    plain, walker = (
        flatten(parse(["x", f"--config=configs/walker_walk.py:laifo{suffix}"]).config.to_dict())
        for suffix in ("", "+published")
    )
    departures = {
        "env.action_repeat": 1,
        "network.precision": "float32",
        "replay.n_step": 1,
        "replay.batch_size": 512,
        "agent.std_duration": 100_000,
    }
    assert departures == {name: walker[name] for name in plain if walker[name] != plain[name]}
    cheetah = parse(["x", "--config=configs/cheetah.py:laifo+published"]).config
    assert (cheetah.agent.std_duration, cheetah.replay.n_step, cheetah.replay.batch_size) == (500_000, 3, 256)
    assert cheetah.replay.expert_batch_size == 0 and cheetah.reward.form == "mode"


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
        (
            ["--config=cheetah", '--config.agent={"discount":0.5}'],
            "config.agent is a group of fields: set them one by one",
        ),
        (["--config=cheetah", "--config.agent.decay", "3"], "config.agent.decay is a group of fields"),
        (["--config=cheetah", "--config.log.films=no"], "--config.log.films=no: it must be True or False, not 'no'"),
        (["--config=cheetah", "--config.log.films="], "--config.log.films=: it must be True or False, not ''"),
        (["--config=cheetah", "--config.agent.discount=x"], "it must be a number, not 'x'"),
        (["--config=cheetah", "-config.hosts=x"], "config.hosts is a group of fields"),
        (["--config=cheetah", "--config.method=bc"], "the method is named behind the config: --config=cheetah:bc"),
        (["--config=cheetah:rot", "--config.method", "bc"], "is named behind the config: --config=cheetah:bc"),
        (["--config=configs/cheetah.py", "--bar=1"], "unknown flag --bar; a field of the config is set by"),
        (["--config=configs/cheetah.py", "--seed=1"], "unknown flag --seed; did you mean --config.seed?"),
        (["--config=cheetah", "--num_envs", "8"], "unknown flag --num_envs; did you mean --config.env.num_envs?"),
        (["--config=configs/cheetah.py", "foo"], "unknown argument 'foo'"),
        (["--config"], "--config is missing"),
        (["--config=finger", "--config", "cheetah"], "--config is given 2 times"),
        (["--config.seed=3"], "--config is missing"),
        (["--config=cheetah", "--config.env=3"], "config.env"),
        (["--config=cheetah", "--config.=3"], "no config key config."),
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


MAIN, VERB = ("-m", "patchail_jax.main"), ("-m", "patchail_jax", "train")


@pytest.mark.parametrize("program", [MAIN, VERB])
def test_print_config_prints_and_does_nothing_else(program, tmp_path):
    command = [sys.executable, *program, "--config=configs/finger.py", "--print_config"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "task: finger_spin" in result.stdout and not result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--config=cheetah:patchail_w+published"],
        ["--config", "cheetah:patchail_w+published"],
        ["--config=cheetah.py:patchail_w+published"],
        ["--config=configs/cheetah.py:patchail_w+published"],
        [f"--config={Path('configs').resolve()}/cheetah.py:patchail_w+published"],
    ],
)
def test_a_config_is_found_from_any_folder(words, tmp_path, monkeypatch):
    here = parse(["x", "--config=configs/cheetah.py:patchail_w+published"]).config
    monkeypatch.chdir(tmp_path)
    there = parse(["x", *words, "--config.seed=3"]).config
    assert there.seed == 3 and there.env.task == "cheetah_run" and there.method == "patchail_w"
    here.seed = 3
    assert there.to_dict() == here.to_dict()


OWN = """
import dataclasses
from patchail_jax.run.config import paper_config

@dataclasses.dataclass
class Mine:
    seed: int = 7

def get_config(method="patchail"):
    config = paper_config("cheetah_run", method)
    config.seed = Mine().seed
"""


def test_a_file_of_one_s_own_comes_first_and_shadows_no_package(tmp_path, monkeypatch):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "finger.py").write_text(f"{OWN}    return config\n")
    (tmp_path / "patchail_jax").mkdir()
    (tmp_path / "patchail_jax/__init__.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    config = parse(["x", "--config=configs/finger.py:bc"]).config
    assert (config.seed, config.method, config.env.task) == (7, "bc", "cheetah_run")
    assert parse(["x", "--config=finger"]).config.env.task == "finger_spin"
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "mine.py has no function get_config()"),
        ("import sys\nsys.exit(0)\n", "mine.py, line 2: SystemExit: 0"),
        ("def get_config():\n    return {}\n", "mine.py: get_config() gives dict, not a ConfigDict"),
        ("\nimport nothing_like_it\n", "mine.py, line 2: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("def get_config():\n    return 1 / 0\n", "mine.py, line 2: ZeroDivisionError: division by zero"),
        ("def get_config(:\n", "mine.py, line 1: SyntaxError: "),
        (f"{OWN}    config.sed = 3\n    return config\n", "no config key config.sed; did you mean config.seed?"),
        (f"{OWN}    del config.env.look\n    return config\n", "config.env.look is missing"),
        ("def get_config():\n    raise OSError('a\\nb')\n", "mine.py, line 2: OSError: a b"),
    ],
)
def test_a_file_that_fails_is_one_line_that_names_its_own(text, message, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        parse(["x", "--config=mine.py"])
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("chetah", "no config named chetah; did you mean cheetah?"),
        ("xyz", "no config named xyz; known: cartpole, cheetah, "),
        ("mine/chetah.py", "no config file mine/chetah.py; did you mean mine/cheetah.py?"),
        ("other/cheetah", "no config named other/cheetah; did you mean cheetah?"),
        ("cheetah.txt", "no config named cheetah.txt; did you mean cheetah?"),
        ("", "--config is missing"),
    ],
)
def test_an_unknown_config_is_told_the_nearest(asked, message, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/cheetah.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        parse(["x", f"--config={asked}"])
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
