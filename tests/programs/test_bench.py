"""What the benchmark times can be built; its loop and its clock give figures."""

import errno
import json
import re

import pytest

from patchail_jax.configs import quickstart
from patchail_jax.errors import UserError
from patchail_jax.programs import bench
from patchail_jax.run.config import paper_config
from patchail_jax.run.design import make_method, make_specs
from patchail_jax.run.presets import PRESETS
from patchail_jax.run.refusals import refuse
from patchail_jax.storage.versions import machine, versions

FEATURES = "drqv2_features, float32"
TINY = [
    "--config=configs/quickstart.py:drqv2_features",  # the cheapest to compile
    "--config.env.episode_frames=80",
    "--config.env.workers=inline",
    "--config.replay.batch_size=8",
    "--config.replay.expert_batch_size=8",
    "--config.network.hidden_size=4",
]


@pytest.fixture
def one(monkeypatch):
    """Measurements take a moment, and one case is timed."""
    every = bench.cases
    monkeypatch.setattr(bench, "SECONDS", 0.1)
    monkeypatch.setattr(bench, "cases", lambda *args, **options: {"one": every(*args, **options)[FEATURES]})


def test_every_method_is_timed_in_the_precisions_of_the_device():
    config = quickstart.get_config()
    both = bench.cases(config, everything=True, accelerator=True)
    assert {case.method for case in both.values()} == set(PRESETS)
    for label, case in both.items():
        assert label.endswith(case.network.precision)
        make_method(case, make_specs(case, 1))
    one = bench.cases(config, everything=True, accelerator=False)
    assert set(one) < set(both) and {case.method for case in one.values()} == set(PRESETS)
    assert config.method == "patchail" and config.similarity.regularizer == "none"


@pytest.mark.parametrize("variant", ["", "+small", "+published"])
@pytest.mark.parametrize("method", PRESETS)
def test_each_method_is_timed_as_itself_whatever_method_the_config_is_of(method, variant):
    timed = bench.cases(paper_config("cartpole_swingup", method + variant), everything=True, accelerator=True)
    for case in timed.values():
        refuse(case, make_method(case, specs := make_specs(case, 1)), specs, devices=1, processes=1)
        weighted = {"patchail_w": "weight", "patchail_b": "bonus"}.get(case.method, "none")
        assert case.similarity.regularizer == weighted
        assert case.network.trunk == ("shared" if case.method == "laifo" else "own")


def test_a_benchmark_that_is_cut_short_leaves_what_it_has_measured(one, tmp_path, monkeypatch):
    def cut(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "update_here", cut)
    output = tmp_path / "figures.json"
    with pytest.raises(KeyboardInterrupt):
        bench.main([*TINY, f"--output={output}"])
    figures = json.loads(output.read_text())
    assert figures["matrix_rate"]["float32"] > 0 and figures["environments"]["1"] > 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--config.devices=99"], "config.devices is 99, but only"),
        (["--output=FOLDER"], "is no file that could be replaced"),
        (["--output=/dev/null"], "is no file that could be replaced"),
        (["--tasks", "--compile_for=h100"], "not allowed with argument"),
        (["--against=torch", "--tasks"], "not allowed with argument"),
        (["--compile_for=h100", "--against=torch"], "not allowed with argument"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(one, tmp_path, monkeypatch, flags, said):
    def measured(*_, **__):
        raise AssertionError("it measures")

    monkeypatch.setattr(bench, "steps_per_second", measured)
    output = tmp_path / "figures.json"
    output.write_text("{}")
    flags = [flag.replace("FOLDER", str(tmp_path)) for flag in flags]
    with pytest.raises(UserError, match=re.escape(said)):
        bench.main([*TINY, f"--output={output}", *flags])
    assert output.read_text() == "{}"


def test_a_full_disk_leaves_the_figures_that_were_written_before(one, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "no space")

    output = tmp_path / "figures.json"
    output.write_text("{}")
    monkeypatch.setattr(bench, "write_text", full)
    with pytest.raises(OSError, match="no space"):
        bench.main([*TINY, f"--output={output}"])
    assert output.read_text() == "{}"


def test_a_benchmark_ends_with_a_file_of_its_figures(one, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "LOOP_SECONDS", 0.1)
    output = tmp_path / "figures.json"
    bench.main([*TINY, f"--output={output}"])
    figures = json.loads(output.read_text())
    case = figures["update"]["one"]
    assert case["ms"] > 0 and case["operations"] > 1e3
    floor = 1e3 * case["operations"] / figures["matrix_rate"]["float32"] / figures["devices"]
    assert case["floor_ms"] == pytest.approx(floor)
    assert figures["loop_steps_per_second"] > 0 and set(figures["environments"]) >= {"1", "2"}
    assert figures["machine"] == machine() and figures["commit"] == versions()["git_commit"]
    assert figures["command"].startswith("python ")
    assert "update        one" in capsys.readouterr().out


def test_the_environments_of_the_paper_s_tasks_are_timed_in_both_qualities(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "SECONDS", 0.1)
    monkeypatch.setattr(bench, "PAPER_TASKS", ("cartpole_swingup",))
    output = tmp_path / "tasks.json"
    bench.main(["--tasks", "--config.env.image_size=16", f"--output={output}"])
    figures = json.loads(output.read_text())
    rates = figures["tasks"]["cartpole_swingup"]
    assert figures["machine"] == machine() and not figures["update"]
    assert set(rates) == {"full", "fast"} and min(rates.values()) > 0
    assert capsys.readouterr().out.count("cartpole_swingup") == 2
