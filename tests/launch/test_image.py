"""The image's steps without a daemon: what is copied, what each step does on a machine of stand-ins, what is left."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from patchail_jax.launch import kubernetes
from patchail_jax.storage import versions as versions_module
from patchail_jax.storage.versions import BUILT_FROM, versions
from tests.launch.test_setup import BY_UV, LOCKED, ROOT, Machine

TEXT = (ROOT / "launch/Dockerfile").read_text()
STEPS = [line.split(" ", 1) for line in TEXT.splitlines() if line and not line.startswith("#")]
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
VARIABLES = dict(words.split("=", 1) for step, words in STEPS if step == "ENV")


def is_sent(path):
    """Whether docker sends a path of the checkout to its daemon."""
    parents = [path, *path.parents][:-1]
    return not any(
        fnmatch.fnmatchcase(part.name if pattern.startswith("**/") else str(part), pattern.removeprefix("**/"))
        for pattern in IGNORED
        for part in parents
    )


@pytest.fixture(scope="module")
def context():
    """The files of the checkout that are sent."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in map(Path, listed.splitlines()) if is_sent(path)]


def test_what_belongs_to_one_checkout_stays_there(context):
    for name in (
        ".git/HEAD",
        ".venv/bin/python",
        "runs/x/config.json",
        "patchail_jax/run/__pycache__/a.pyc",
        "wandb/x",
    ):
        assert not is_sent(Path(name)), name
    needed = ("setup.py", "README.md", "LICENSE", "launch/setup.sh", "configs/cheetah.py", "patchail_jax/launch")
    assert {*map(Path, needed)} <= {*context}
    assert sum((ROOT / path).stat().st_size for path in context) < 20 * 2**20


@pytest.fixture
def machine(tmp_path, context):
    """python:3.12-slim with apt-get, after COPY."""
    machine = Machine(tmp_path).with_python("python3", "3.12.8").with_apt().lacks("libraries")
    for path in context:
        target = machine.tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target, follow_symlinks=False) if not (ROOT / path).is_dir() else None
    for tool in ("useradd", "mkdir", "chown"):
        machine.script(tool, f'echo {tool} "$@" >> "$MACHINE/diary"')
    return machine


def test_every_step_that_runs_does_what_it_says(machine):
    environment = {"PATH": str(machine.bin), "HOME": str(machine.home), "MACHINE": str(machine.state)}
    environment |= {"EXTRAS": "cuda12,gcs", **VARIABLES}
    for step, words in STEPS:
        if step == "RUN":
            done = subprocess.run(
                ["sh", "-c", re.sub(r"rm -rf /\S+ /\S+", "true", words)], env=environment, cwd=machine.tree
            )
            assert done.returncode == 0, words
    assert machine.diary == [
        "apt-get libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0",
        "pip uv",
        f"{BY_UV} {LOCKED.format('3.12')} --editable .[cuda12,gcs]",  # and no tools of tests
        f"useradd --uid {kubernetes.USER} --create-home patchail",
        "mkdir -p /runs",
        "chown patchail /runs .",
    ]
    (command,) = (words for step, words in STEPS if step == "CMD")
    assert os.access(machine.tree / json.loads(command)[0], os.X_OK)


def test_the_image_draws_on_the_card_and_runs_as_nobody_special(context):
    assert VARIABLES["NVIDIA_DRIVER_CAPABILITIES"].split(",") == ["compute", "utility", "graphics"]
    assert VARIABLES["LD_LIBRARY_PATH"] == kubernetes.DRIVER
    copies = dict(words.split() for step, words in STEPS if step == "COPY")
    (vendor,) = (source for source, target in copies.items() if target.startswith("/usr/share/glvnd/egl_vendor.d/"))
    assert Path(vendor) in context and "libEGL_nvidia" in json.loads((ROOT / vendor).read_text())["ICD"]["library_path"]
    steps = [step for step, _ in STEPS]
    assert ["USER", str(kubernetes.USER)] in STEPS and "RUN" not in steps[steps.index("USER") :]


def test_versions_name_the_commit_that_an_image_was_built_from(monkeypatch):
    assert VARIABLES[BUILT_FROM] == "$GIT_COMMIT"
    monkeypatch.setenv("PATH", "/nowhere")  # no git
    assert versions()["git_commit"] is None
    monkeypatch.setenv(BUILT_FROM, "5a3c")
    assert versions()["git_commit"] == "5a3c"
    monkeypatch.setenv(BUILT_FROM, "")  # a build that was not told
    assert versions()["git_commit"] is None


def test_versions_name_no_commit_of_the_repository_that_the_package_is_installed_in(tmp_path, monkeypatch):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", tmp_path, *identity, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    monkeypatch.setattr(versions_module, "__file__", str(tmp_path / ".venv/patchail_jax/storage/versions.py"))
    (tmp_path / ".venv/patchail_jax/storage").mkdir(parents=True)
    monkeypatch.setenv(BUILT_FROM, "5a3c")
    found = versions()
    assert found["git_commit"] == "5a3c" and found["git_dirty"] is None
