"""``bench --compile_for``: what compiles has its numbers, what does not is named, and both are in the file."""

import json
import subprocess
import sys
from importlib.util import find_spec

import jax
import pytest

from patchail_jax.configs import quickstart
from patchail_jax.devices.mapping import MAPPINGS
from patchail_jax.errors import UserError
from patchail_jax.programs import compile_for

TINY = [
    "--config=configs/quickstart.py",
    "--config.env.episode_frames=80",
    "--config.replay.batch_size=8",
    "--config.replay.expert_batch_size=8",
    "--config.network.hidden_size=4",
    "--config.network.encoder_channels=2",
    "--config.discriminator.channels=2",
]


def tiny_case():
    config = quickstart.get_config("drqv2_features")
    config.env.episode_frames = 80
    config.replay.batch_size = config.replay.expert_batch_size = 8
    config.network.hidden_size = 4
    return config


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(compile_for, "describe", lambda name, count: jax.local_devices()[:count])
    monkeypatch.setattr(compile_for, "COUNTS", (1,))


def compile_tiny(cases, names=("h100",)):
    lines, result = [], {}
    try:
        compile_for.compile_all(cases, names, 1, say=lines.append, result=result)
    except UserError as error:
        lines.append(str(error))
    return lines, result


def test_an_update_s_memory_kernels_bytes_and_operations(here):
    lines, result = compile_tiny({"one": tiny_case()}, ("h100", "v5e-4"))
    assert [row["target"] for row in result["compiled"]] == ["h100", "v5e-4"] and len(lines) == 2
    for row in result["compiled"]:
        assert row["devices"] == 1 and row["kernels"] > 10 and row["bytes"] > 1e3 and row["operations"] > 1e3
        assert row["memory_bytes"] > 1e3 and row["least_ms"] > 0 and row["bound"] in ("memory", "operations")


def test_memory_grows_with_the_replay_whose_frames_lie_on_the_device(here):
    small, large = quickstart.get_config(), quickstart.get_config()
    for case, capacity in ((small, 2_000), (large, 50_000)):
        case.replay.capacity, case.replay.batch_size, case.replay.expert_batch_size = capacity, 4, 4
        case.network.encoder_channels = case.discriminator.channels = 2
        case.replay.rescore_updates = 0
    _, result = compile_tiny({"small": small, "large": large})
    less, more = (row["memory_bytes"] for row in result["compiled"])
    assert more - less == pytest.approx(48_000 * 32 * 32 * 3, rel=0.01)


def test_what_does_not_compile_is_named_and_the_others_go_on(here, monkeypatch):
    def refused(lowered):
        raise jax.errors.JaxRuntimeError("INTERNAL: no such instruction\nand much more")

    real, lowered = compile_for.compiled, []

    def once(program):
        lowered.append(program)
        return refused(program) if len(lowered) == 1 else real(program)

    monkeypatch.setattr(compile_for, "compiled", once)
    lines, result = compile_tiny({"one": tiny_case(), "two": tiny_case()})
    assert "one" in lines[0] and "does not compile: INTERNAL: no such instruction" in lines[0]
    assert "error" in result["compiled"][0] and result["compiled"][1]["kernels"] > 10
    assert lines[-1] == "1 of 2 updates do not compile; each is named above"


def bench(tmp_path, names):
    command = [sys.executable, "-m", "patchail_jax", "bench", "--quick", f"--compile_for={names}", *TINY]
    return subprocess.run([*command, f"--output={tmp_path}/figures.json"], capture_output=True, text=True)


def test_a_config_that_makes_no_run_is_refused_before_anything_is_compiled(here):
    case = tiny_case()
    case.replay.batch_size = 7
    lines, result = compile_tiny({"one": tiny_case(), "two": case})
    assert lines == ["config.replay.batch_size (7) must be a multiple of expert_batch_size (8)"]
    assert result.get("compiled", []) == []


def test_the_platform_that_a_config_asks_for_is_the_target(here):
    case = tiny_case()
    case.platform = "gpu"
    _, result = compile_tiny({"one": case})
    assert result["compiled"][0]["kernels"] > 10


@pytest.mark.parametrize("mapping", list(MAPPINGS))
def test_the_mapping_that_a_config_asks_for_is_compiled(here, monkeypatch, mapping):
    case, mapped = tiny_case(), []
    case.device_mapping = mapping
    for name, kind in MAPPINGS.items():

        def noted(self, *args, name=name, real=kind.map, **options):
            mapped.append(name)
            return real(self, *args, **options)

        monkeypatch.setattr(kind, "map", noted)
    _, result = compile_tiny({"one": case})
    assert mapped[-1] == mapping and result["compiled"][0]["kernels"] > 10


@pytest.mark.parametrize(("names", "named"), [("v5e-4,h101", "h101"), ("", "")])
def test_an_unknown_target_is_one_line(tmp_path, names, named):
    result = bench(tmp_path, names)
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: --compile_for is {named!r}; use one of h100, a100, v5e-4, v6e-4")


@pytest.mark.parametrize(("name", "plugin"), [("h100", "jax_cuda12_plugin"), ("v5e-4", "libtpu")])
def test_a_target_with_and_without_its_compiler(tmp_path, name, plugin):
    result = bench(tmp_path, name)
    if find_spec(plugin) is None:
        assert result.returncode == 2 and result.stderr.count("\n") == 1
        assert "pip install '.[aot]'" in result.stderr
        return
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "figures.json").read_text())["compiled"]
    assert {row["devices"] for row in rows} == {1, 4} and all(row["kernels"] > 100 for row in rows)
