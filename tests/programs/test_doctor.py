"""The doctor on this machine, and each of its findings made to happen."""

import fcntl
import json
import os
import subprocess
import sys
from unittest import mock

import jax
import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.programs import machine_checks as machine
from patchail_jax.programs import run_checks as run
from patchail_jax.programs.command_line import parse
from patchail_jax.programs.doctor import CHECKS, main
from patchail_jax.programs.finding import Finding, examine
from tests.launch.test_local import KEY


def config(*overrides, name="quickstart.py"):
    return parse(["x", f"--config=configs/{name}", *overrides]).config


@pytest.fixture
def folders(tmp_path):
    return [f"--config.run_folder={tmp_path}/run", f"--config.demos.cache_dir={tmp_path}/cache"]


def test_a_sound_machine_is_told_so_with_a_line_a_check(folders, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert main(folders) == 0
    said = capsys.readouterr().out
    table = [line for line in said.splitlines()[:-1] if not line.startswith(" ")]
    assert [line[9:24].strip() for line in table] == list(CHECKS)
    assert all(line.startswith(("ok", "warning")) for line in table)
    assert said.splitlines()[-1] == "a run would work: patchail on cartpole_swingup"
    assert " ms an agent step" in said and " TFLOP/s in float32" in said and "a key is there" in said
    assert ("llvmpipe" in said) == ("software rendering" in said)
    assert KEY not in said and not list(tmp_path.iterdir())  # looked at, not made


@pytest.mark.parametrize(("method", "status"), [("drqv2_features", 0), ("drqv2", 1)])
def test_who_learns_from_pixels_needs_opengl_and_from_features_does_not(folders, method, status):
    command = [sys.executable, "-m", "patchail_jax", "doctor", f"--config=configs/quickstart.py:{method}", *folders]
    without = {**os.environ, "MUJOCO_GL": "disabled"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, env=without)
    assert result.returncode == status
    assert ("problem  rendering       no OpenGL can draw" in result.stdout) == bool(status)


def test_what_would_fail_a_run_ends_with_status_one_and_a_remedy(folders):
    words = ["--config.replay.capacity=100000000000", "--config.demos.num_demonstrations=11"]
    words.append("--config.transformer.heads=2")
    command = [sys.executable, "-m", "patchail_jax", "doctor", *folders, *words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    lines = result.stdout.splitlines()
    (memory,) = [number for number, line in enumerate(lines) if line.startswith("problem  memory")]
    assert "-> lower config.replay.capacity" in lines[memory + 1]
    assert lines[0].startswith("warning  flags           config.transformer.heads changes nothing: it is not read with")
    assert any(line.startswith("problem  demonstrations") for line in lines)
    assert any(line.startswith("warning  run folder") for line in lines)  # nor would the checkpoints fit
    assert lines[-1].startswith("2 problems to fix before training can start")


def test_a_wrong_flag_is_one_line():
    command = [sys.executable, "-m", "patchail_jax", "doctor", "--config=configs/nothing.py"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2 and result.stderr.startswith("error: no config file")


@pytest.mark.parametrize(
    ("check", "overrides", "status", "words"),
    [
        (run.check_method, ["--config.reward.form=wgan"], "problem", "airl"),
        (run.check_method, ["--config.replay.expert_batch_size=15"], "problem", "expert_batch_size"),
        (run.check_demonstrations, ["--config.demos.path=/nowhere.npz"], "problem", "/nowhere.npz"),
        (run.check_run_folder, ["--config.run_folder=/proc/none/run"], "problem", "/proc"),
        (run.check_method, ["--config.hosts.count=2"], "problem", "config.hosts.coordinator=ADDRESS:PORT"),
        (run.check_method, ["--config.hosts.coordinator=here"], "problem", "it must be ADDRESS:PORT"),
        (run.check_method, ["--config.platform=tpu"], "problem", "is 'tpu', but JAX runs on cpu here"),
        (run.check_method, ["--config.platform=cuda"], "problem", "use one of gpu, tpu, cpu"),
        (run.check_method, ["--config.platform=cpu"], "ok", ""),
        (run.check_method, ["--config.device_mapping=vmap"], "problem", "use one of pmap, shard_map"),
        (
            run.check_method,
            ["--config.hosts.coordinator=here:1", "--config.hosts.count=7", "--config.hosts.index=0"],
            "problem",
            "devices",
        ),
        (run.check_method, ["--config.init_from=/nowhere/at/all"], "problem", "/nowhere/at/all"),
        (run.check_run_folder, ["--config.run_folder=ftp://host/run"], "problem", "cannot be opened"),
        (run.check_cache, ["--config.demos.cache_dir=/dev/null/cache"], "warning", "/dev/null"),
        (run.check_wandb, ["--config.log.wandb_mode=sometimes"], "problem", "sometimes"),
        (run.check_wandb, ["--config.log.wandb_mode=online"], "warning", "no key"),
        (machine.check_devices, ["--config.devices=9"], "problem", "4 x"),
        (machine.check_matrix_rate, ["--config.network.precision=bfloat16"], "warning", "bfloat16"),
        (machine.check_rendering, ["--config.env.task=cartpol_swingup"], "problem", "did you mean"),
    ],
)
def test_each_trouble_is_found(check, overrides, status, words, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    chosen = config(*overrides)
    found = examine("x", lambda: check(chosen))
    assert found.status == status and words in f"{found.finding} {found.remedy}"


def test_what_draws_is_the_run_s_own_environment_its_look_included():
    look = ("--config.env.look=video", "--config.env.look_size=96")
    assert "32x32 by " in machine.check_rendering(config(*look)).finding
    found = examine("x", lambda: machine.check_rendering(config(look[0], "--config.env.look_size=2000")))
    assert found.status == "problem" and "2000 pixels cannot be drawn" in found.finding


def test_a_platform_that_is_not_here_is_said_and_how_it_comes_here(folders, monkeypatch):
    found = machine.check_devices(config("--config.platform=gpu"))
    assert found.status == "problem" and "cuda12" in found.remedy
    monkeypatch.setattr(
        jax, "local_devices", lambda: [mock.Mock(platform="gpu", device_kind="H100", memory_stats=dict)]
    )
    assert machine.check_devices(config("--config.platform=cpu")).remedy == "JAX_PLATFORMS=cpu"
    command = [sys.executable, "-m", "patchail_jax", "doctor", *folders]
    without = {**os.environ, "JAX_PLATFORMS": "cuda"}
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, env=without).stdout
    assert "problem  devices         JAX cannot start on this machine (JAX_PLATFORMS=cuda)" in said
    assert "-> unset JAX_PLATFORMS" in said and "AssertionError" not in said


def test_an_accelerator_that_jax_does_not_see_is_named(monkeypatch, tmp_path):
    (tmp_path / "device").write_text("")
    monkeypatch.setattr(machine, "NVIDIA", tmp_path / "none")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert machine.check_devices(config()).status == "ok"
    monkeypatch.setattr(machine, "NVIDIA", tmp_path / "device")
    found = machine.check_devices(config())
    assert found.status == "warning" and "cuda12" in found.remedy


def test_a_wrong_version_is_named(monkeypatch):
    versions = machine.versions()
    monkeypatch.setattr(machine, "versions", lambda: {**versions, "mujoco": "4.0.0"})
    assert "mujoco>=3.17,<4" in machine.check_versions(config()).remedy
    monkeypatch.setattr(machine, "versions", lambda: {**versions, "flax": None, "wandb": None})
    assert machine.check_versions(config())[1:3] == ("problem", "not installed: flax, wandb")


def test_task_reward_needs_no_demonstrations_and_the_paper_s_size_counts_them(monkeypatch):
    assert run.check_demonstrations(parse(["x", "--config=configs/cheetah.py:drqv2"]).config).status == "ok"
    asked = []
    monkeypatch.setattr("patchail_jax.storage.memory.require_memory", lambda needed, of: asked.append(needed) or "")
    run.check_memory(config(name="cheetah.py"))
    transitions, demonstrations = 150_000 + 300, 10 * 501
    np.testing.assert_allclose(asked[0], (transitions + demonstrations) * 84 * 84 * 3, rtol=0.01)


def test_memory_is_counted_in_features_where_no_pixels_are_kept(monkeypatch):
    asked = []
    monkeypatch.setattr("patchail_jax.storage.memory.require_memory", lambda needed, of: asked.append(needed) or "")
    small = parse(["x", "--config=configs/cheetah.py:drqv2_features"]).config
    run.check_memory(small)
    assert small.replay.capacity * 17 * 4 <= asked[0] < small.replay.capacity * 200  # cheetah's 17 numbers, not pixels


def test_whatever_a_check_raises_is_a_problem():
    def broken():
        raise ZeroDivisionError("oh\nno")

    def asked():
        raise UserError("too small; make it larger")

    assert examine("a", broken)[:3] == ("a", "problem", "ZeroDivisionError: oh no")
    assert examine("b", asked) == Finding("b", "problem", "too small", "make it larger")
    assert json.dumps(examine("b", asked))


def test_a_folder_of_another_run_and_one_that_is_in_use_are_found(tmp_path):
    asked = config(f"--config.run_folder={tmp_path}", "--config.num_frames=1000")
    (tmp_path / "config.json").write_text(json.dumps(asked.to_dict()))
    assert run.check_run_folder(asked).status != "problem"
    longer = config(f"--config.run_folder={tmp_path}", "--config.num_frames=2000")  # goes on with it
    assert run.check_run_folder(longer).status != "problem"
    other = config(f"--config.run_folder={tmp_path}", "--config.seed=7")
    found = examine("run folder", lambda: run.check_run_folder(other))
    assert found == Finding(
        "run folder", "problem", f"{tmp_path} holds a run with seed=0, not 7", "set config.run_folder to another folder"
    )
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = run.check_run_folder(asked)
    assert busy.status == "problem" and "another process is running" in busy.finding
    (tmp_path / "config.json").write_text("{")
    damaged = examine("run folder", lambda: run.check_run_folder(asked))
    assert damaged.status == "problem" and damaged.finding.endswith("put it back, or choose another folder")
