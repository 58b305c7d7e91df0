"""The wheel, as somebody else installs it: everything is in it, under one name, and works from any folder."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("patchail_jax", "configs", "launch", "third_party", "setup.py", "pyproject.toml", "README.md", "LICENSE")


def pip(*words):
    """pip without a network: what it needs is in this environment."""
    command = [sys.executable, "-m", "pip", *words, "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the source, without what earlier builds left there."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / part, source / part)
    pip("wheel", "--no-build-isolation", f"--wheel-dir={output}", str(source))
    (built,) = output.iterdir()
    return built


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Runs the installed program in an empty folder. The path has the wheel's files before this environment's."""
    site, elsewhere = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    pip("install", f"--target={site}", str(wheel))
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*words, program=("bin/patchail",)):
        first = [str(site / program[0])] if program[0].startswith("bin/") else [sys.executable, *program]
        command = [*first, *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=elsewhere, env=environment, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = run(program=("-c", "import patchail_jax; print(patchail_jax.__file__)"))
    assert Path(where.strip()).parent == site / "patchail_jax"
    assert sorted(path.name for path in site.iterdir()) == ["bin", "patchail_jax", wheel_metadata(wheel)]
    return run


def wheel_metadata(wheel):
    name, version, *_ = wheel.name.split("-")
    return f"{name}-{version}.dist-info"


def test_everything_is_under_one_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.split("/")[0] for name in names} == {"patchail_jax", wheel_metadata(wheel)}
    for folder, inside in (("patchail_jax", "."), ("configs", "configs"), ("launch", "launch")):
        for path in (ROOT / folder).rglob("*.py"):
            assert str(Path("patchail_jax", inside, path.relative_to(ROOT / folder))) in names
    assert names >= {f"patchail_jax/third_party/{path.name}" for path in (ROOT / "third_party").iterdir()}
    shipped = {path.name for path in (ROOT / "patchail_jax/demos/shipped").iterdir()}
    assert names >= {f"patchail_jax/demos/shipped/{name}" for name in shipped} and len(shipped) > 7
    assert "patchail_jax/reports/page.html" in names


@pytest.mark.parametrize("config", ["cheetah:patchail_w", "configs/cheetah.py:patchail_w"])
def test_configs_are_found_from_another_folder(run, config):
    said = [
        run("train", f"--config={config}", "--print_config"),
        run(f"--config={config}", "--print_config", program=("-m", "patchail_jax.main")),
        run("train", "--config", config, "--print_config", program=("-m", "patchail_jax")),
    ]
    assert "task: cheetah_run" in said[0] and "regularizer: weight" in said[0]
    assert said[0] == said[1] == said[2]


def test_help_and_the_version_are_the_package_s(run):
    assert "launch" in run("--help") and "walker_walk" in run("train", "--help")
    assert run("--version").split()[1] == importlib.metadata.version("patchail_jax")


def test_reports_have_the_paper_s_figures(run):
    program = "from patchail_jax.reports.published import *; print(len(table1()), len(drqv2_curve('hopper_stand')[0]))"
    scores, points = map(int, run(program=("-c", program)).split())
    assert scores > 50 and points > 3


def test_launchers_start(run):
    said = run("launch", "local", "quickstart", "--dry_run", "--python=python").splitlines()
    assert said[1].startswith("python -m patchail_jax.main --config=quickstart:patchail --config.seed=0")
    assert len(said) == 4
