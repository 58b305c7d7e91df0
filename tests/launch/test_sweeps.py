"""Sweeps against the paper's counts, the config system and a real shell."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from patchail_jax.errors import UserError
from patchail_jax.launch.options import config_of, parse, parser
from patchail_jax.launch.sweeps.paper import SWEEPS
from patchail_jax.launch.sweeps.sweep import Grid, command, identifier, refuse_form, runs, selected, told


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("table1", 7 * 6 * 5),
        ("figure6a", 2 * 4 * 5),
        ("figure6b", 2 * 6 * 5),
        ("figure7", 2 * 2 * 2 * 5),
        ("figure8", 7 * 6 * 5),
        ("figure9", 7 * 6 * 5),
        ("figure10", 5 * 4 * 5),
        ("quickstart", 3),
        ("small", 3 * (7 + 7 + 4 * 8)),
        ("challengers", 2 * 7 * 6 * 5),
    ],
)
def test_every_sweep_has_its_runs_each_in_its_own_folder(name, count):
    found = runs(SWEEPS[name], root="runs/x")
    assert len(found) == len({run.folder for run in found}) == count
    assert SWEEPS.keys() >= {name}


@pytest.mark.parametrize("name", SWEEPS)
def test_every_run_is_one_that_the_program_takes(name):
    for grid in SWEEPS[name]:
        for run in runs([grid._replace(seeds=(3,))], root="runs/x"):
            config = config_of(run)
            assert config.seed == 3 and config.run_folder == run.folder and f"/{config.method}/" in run.folder
            for key, value in grid.overrides.items():
                group, field = key.split(".")
                assert config[group][field] == value


def test_seeds_are_outermost_and_overrides_come_before_the_folder():
    grids = [Grid(("cheetah", "finger"), ("drqv2",), seeds=(0, 1), overrides={"replay.n_step": 1}, label="a")]
    found = runs(grids, root="/r/", overrides=["--config.num_frames=10"])
    assert [run.name for run in found] == [
        "cheetah/drqv2/a/seed_0",
        "finger/drqv2/a/seed_0",
        "cheetah/drqv2/a/seed_1",
        "finger/drqv2/a/seed_1",
    ]
    assert found[3].folder == "/r/finger/drqv2/a/seed_1"
    assert found[3].flags == (
        "--config=finger:drqv2",
        "--config.seed=1",
        "--config.replay.n_step=1",
        "--config.num_frames=10",
        "--config.run_folder=/r/finger/drqv2/a/seed_1",
    )


def test_runs_that_would_share_a_folder_are_refused():
    with pytest.raises(UserError, match="cheetah/drqv2/seed_0; give their grids a label"):
        runs([Grid(("cheetah",), ("drqv2",)), Grid(("cheetah",), ("drqv2",), overrides={"num_frames": 1})], root="r")


def test_a_selection_keeps_what_is_named_and_knows_what_is_not():
    grids = selected(SWEEPS["table1"], tasks=["hopper"], methods=["bc", "patchail"], seeds=[4])
    assert [run.name for run in runs(grids, root="r")] == ["hopper/patchail/seed_4", "hopper/bc/seed_4"]
    with pytest.raises(UserError, match="no tasks 'hoper'; it has cartpole, cheetah"):
        selected(SWEEPS["table1"], tasks=["hoper"])


def test_the_challengers_share_tasks_seeds_and_demonstrations_and_can_be_had_with_ten_alone():
    found = runs(selected(SWEEPS["challengers"], labels=["demonstrations_10"], seeds=[0], tasks=["finger"]), root="r")
    methods = ("patchail", "patchail_w", "patchail_b", "shared_encoder_ail", "laifo", "bco")
    assert [run.folder for run in found] == [f"r/finger/{method}/demonstrations_10/seed_0" for method in methods]
    assert {run.flags[2:-1] for run in found} == {("--config.demos.num_demonstrations=10",)}
    hundred = runs(selected(SWEEPS["challengers"], labels=["demonstrations_100"], seeds=[0]), root="r")
    assert len(hundred) == 7 * 6
    for run in hundred:
        config = config_of(run)
        assert config.demos.num_demonstrations == 100
        assert config.demos.path == f"demonstrations/{run.name.split('/')[0]}.npz"
    with pytest.raises(UserError, match="no labels 'ten'; it has demonstrations_10, demonstrations_100"):
        selected(SWEEPS["challengers"], labels=["ten"])
    with pytest.raises(UserError, match="no labels 'ten'; it has none"):
        selected(SWEEPS["table1"], labels=["ten"])


AWKWARD = """--config.demos.path=/my demos/it's "x" $HOME `id` * \\ ; #.npz"""


def test_a_shell_hands_over_every_word_as_it_was():
    (run,) = runs([Grid(("cheetah",), ("drqv2",), seeds=(0,))], root="runs/a b", overrides=[AWKWARD])
    words = command(run)
    line = shlex.join(words)
    assert tuple(shlex.split(line)) == words
    echo = shlex.join([sys.executable, "-c", "import json, sys; print(json.dumps(sys.argv[1:]))"])
    for shell in ("sh", "bash"):
        heard = subprocess.run([shell, "-c", f"{echo} {line}"], capture_output=True, text=True, check=True)
        assert tuple(json.loads(heard.stdout)) == words
    assert config_of(run).demos.path == AWKWARD.split("=", 1)[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tabel1"], "no sweep 'tabel1'; use one of table1"),
        (["figure6a", "extra"], "unknown argument 'extra'"),
        (["figure6a", "--config.seed"], "unknown argument '--config.seed': overrides have the form --config.KEY=VALUE"),
        (["figure6a", "--config.reward.agregation=max"], "did you mean config.reward.aggregation"),
        (["figure6a", "--seeds=7"], "no seeds 7"),
        (["figure6a", "--seeds=0-7"], "no seeds 5"),
        (["figure6a", "--seeds="], "'' names no seed; leave the flag out for all"),
        (["figure6a", "--seeds=,"], "',' names no seed"),
        (["figure6a", "--tasks="], "'' names none; leave the flag out for all"),
        (["figure6a", "--seeds=4-0"], "'4-0' is no seed, nor a range such as 0-4"),
        (["figure6a", "--seeds=first"], "'first' is no seed"),
        (["table1", "--config.reward.form=xyz"], "config.reward.form is 'xyz'; use one of"),
        (["table1", "--config.agent.optimizer=foo"], "config.agent.optimizer is 'foo'; use one of"),
        (["table1", "--config.replay.batch_size=7"], r"batch_size .7. must be a multiple of expert_batch_size .128."),
        (["table1", "--config.env.image_size=8"], "images of 8 pixels are too small"),
        (["table1", "--config.platform=xpu"], "config.platform is 'xpu'; use one of gpu, tpu, cpu"),
        (["table1", "--config.devices=3"], "config.replay.batch_size is 256, which 3 devices cannot divide evenly"),
        (["table1", "--config.env.workers=many"], "config.env.workers is 'many'; use one of"),
        (["table1", "--config.seed=5"], "config.seed is decided by the sweep: use --seeds"),
        (["table1", "--config.run_folder=x"], "config.run_folder is decided by the sweep: use --root"),
        (["table1", "--config.env.task=finger_spin"], "config.env.task is decided by the sweep: use --tasks"),
        (["table1", "--config.method=bc"], "config.method is decided by the sweep: use --methods"),
        (
            ["figure6a", "--config.reward.aggregation=max"],
            "config.reward.aggregation is decided by the sweep: choose another",
        ),
    ],
)
def test_bad_input_is_named_before_anything_starts(words, message):
    with pytest.raises(UserError, match=message):
        parse(parser(""), words)


def test_an_override_may_have_spaces_and_stand_before_the_sweep():
    words = ["--config.demos.path=/my demos/a b.npz", "quickstart", "--seeds=0", "--config.num_frames=1_000"]
    options, (run,) = parse(parser(""), words)
    assert options.sweep == "quickstart"
    assert config_of(run).demos.path == "/my demos/a b.npz" and config_of(run).num_frames == 1000


def test_seeds_are_numbers_and_ranges():
    options, found = parse(parser(""), ["figure7", "--seeds=0,2-4", "--tasks=finger", "--methods=patchail"])
    assert options.seeds == (0, 2, 3, 4) and len(found) == 8


def test_an_override_counts_more_than_a_launcher_s_flag():
    (run, *_) = runs(SWEEPS["table1"], root="r", overrides=["--config.platform=cpu"])
    assert config_of(told(run, "--config.platform=gpu")).platform == "cpu"
    assert config_of(told(runs(SWEEPS["table1"], root="r")[0], "--config.platform=gpu")).platform == "gpu"


def test_names_for_clouds_are_short_legal_and_stay_apart():
    assert identifier("table1", "walker_stand/bc/seed_0", limit=40) == "table1-walker-stand-bc-seed-0"
    folded = [
        identifier(*parts, limit=40)
        for parts in (("s", "a/b"), ("s", "a-b"), ("s", "A/b"), ("s", "a.b/"), ("s-a", "b"))
    ]
    assert folded[0] == "s-a-b" and len(set(folded)) == 5
    assert all(re.fullmatch(r"s-a-b(-[0-9a-f]{8})?", name) for name in folded)
    long = [identifier("table1", f"walker_stand/independent_encoder_ail/seed_{seed}", limit=40) for seed in range(50)]
    assert len(set(long)) == 50 and all(len(name) <= 40 and name.strip("-") == name for name in long)


ONE = Grid(("finger",), ("patchail",), seeds=(0,))


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        (ONE, r"the sweep 'mine' is not a tuple of Grids; one alone needs a comma: .Grid"),
        ((ONE, {"label": "x"}), "is not a tuple of Grids"),
        ((ONE._replace(tasks="finger"),), r"tasks of the sweep 'mine' are 'finger'; one alone needs a comma"),
        ((ONE._replace(seeds=0),), r"seeds of the sweep 'mine' are 0; one alone needs a comma: .0,."),
        ((ONE._replace(label="../../up"),), "'finger/patchail/../../up/seed_0' of the sweep 'mine' is no folder below"),
        ((ONE._replace(label="/up"),), "is no folder below its root"),
        ((ONE._replace(label="up/"),), "is no folder below its root"),
        ((ONE._replace(tasks=("../mine.py",)),), "is no folder below its root"),
        (
            (ONE._replace(label="a/b"), ONE._replace(label="a_b")),
            "a/b/seed_0 and .*a_b/seed_0 .*are one name in clouds",
        ),
    ],
)
def test_a_sweep_that_is_written_wrong_is_one_line(grids, message, monkeypatch):
    monkeypatch.setitem(SWEEPS, "mine", grids)
    with pytest.raises(UserError, match=message):
        parse(parser(""), ["mine"])


def test_a_sweep_may_have_labels_that_look_alike():
    refuse_form("my-own", (ONE._replace(label="a/b"), ONE._replace(label="a-b", seeds=range(2))))


def test_configs_are_asked_once_a_kind_and_touch_no_accelerator_or_environment(monkeypatch):
    program = """
import os, sys
from patchail_jax.launch.options import parse, parser
from patchail_jax.run import refusals
asked, refuse = [], refusals.refuse_before
refusals.refuse_before = lambda config, **given: asked.append(config) or refuse(config, **given)
_, found = parse(parser(""), ["table1", "--config.platform=gpu", "--config.devices=2"])
from jax._src import xla_bridge
assert (len(found), len(asked)) == (210, 42)
assert not xla_bridge.backends_are_initialized() and "JAX_PLATFORMS" not in os.environ
"""
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    subprocess.run([sys.executable, "-c", program], check=True)
