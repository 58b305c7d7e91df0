"""launch/setup.sh on machines of stand-ins: what is missing is one line, what works is proved, and again works too."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
FAKE = Path(__file__).parent / "fake_machine.py"
TOOLS = ("bash", "cat", "dirname", "env", "rm", "sh", "touch")
OPENGL = "libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0"
SUPPORTED = "3.11, 3.12 or 3.13"
LOCKED = "--constraint launch/locks/python{}.txt"
BY_UV = "uv pip install --quiet --compile-bytecode"


class Machine:
    """A checkout whose path has a space, and a PATH that has stand-ins and a few real tools alone; no git."""

    def __init__(self, folder):
        self.bin, self.state, self.home = folder / "bin", folder / "state", folder / "home"
        self.tree = folder / "check out"
        for path in (self.bin, self.state, self.home, self.tree / "launch/locks"):
            path.mkdir(parents=True)
        for file in ("setup.sh", "locks/without_labmaze.txt"):
            shutil.copy(ROOT / "launch" / file, self.tree / "launch" / file)
        shutil.copy(ROOT / "setup.py", self.tree)
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.script("ldconfig", 'cat "$MACHINE/libraries" 2>/dev/null')
        self.has("draws").is_user(0)
        (self.state / "libraries").write_text("libOSMesa.so.8\n")

    def script(self, name, body):
        (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.bin / name).chmod(0o755)

    def is_user(self, number):
        self.script("id", f"echo {number}")
        return self

    def has(self, *facts):
        for fact in facts:
            (self.state / fact).touch()
        return self

    def lacks(self, *facts):
        for fact in facts:
            (self.state / fact).unlink(missing_ok=True)
        return self

    def with_python(self, name, version, folder=None):
        self.fake((folder or self.bin) / name, "python", version)
        return self

    def with_apt(self):
        self.fake(self.bin / "apt-get", "apt-get")
        return self

    def fake(self, path, *words):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{FAKE}" {" ".join(words)} "$@"\n')
        path.chmod(0o755)

    def set_up(self, **variables):
        """The finished script, called from another folder."""
        environment = {"PATH": str(self.bin), "HOME": str(self.home), "MACHINE": str(self.state), **variables}
        script = str(self.tree / "launch/setup.sh")
        return subprocess.run([script], env=environment, cwd=self.home, capture_output=True, text=True, timeout=60)

    @property
    def stamps(self):
        return sorted(path.name for path in (self.tree / ".venv").glob("ready*"))

    @property
    def diary(self):
        diary = self.state / "diary"
        return diary.read_text().splitlines() if diary.exists() else []


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def refused(machine, **variables):
    """The one line that set-up ends with, after status 1, and leaves nothing that looks ready."""
    done = machine.set_up(**variables)
    assert done.returncode == 1 and not machine.stamps, done.stderr
    said = done.stderr.splitlines()
    assert [line.startswith("error: ") for line in said] == [False] * (len(said) - 1) + [True], done.stderr
    return said[-1]


@pytest.mark.parametrize("extras", ["", "cuda12", "tpu,gcs"])
def test_a_machine_with_everything_is_ready_in_a_path_with_a_space(machine, extras):
    done = machine.with_python("python3", "3.11.2").set_up(EXTRAS=extras)
    assert done.returncode == 0, done.stderr
    assert machine.stamps == [f"ready-{extras}" if extras else "ready"]
    assert machine.diary == [
        "pip uv",
        f"{BY_UV} {LOCKED.format('3.11')} --editable .[dev{',' if extras else ''}{extras}]",
    ]
    assert "(Python 3.11.2)" in done.stderr


@pytest.mark.parametrize("extras", ["cuda", "tpu,gsc", ".*", "tpu, gcs"])
def test_an_extra_that_there_is_not_is_named_before_anything_is_installed(machine, extras):
    said = refused(machine.with_python("python3", "3.11.2"), EXTRAS=extras)
    assert "which is no extra of setup.py: cuda12, cuda13 or tpu" in said and not machine.diary


def test_a_machine_that_only_trains_gets_no_tools(machine):
    assert machine.with_python("python3", "3.12.1").set_up(TOOLS="").returncode == 0
    assert machine.diary == ["pip uv", f"{BY_UV} {LOCKED.format('3.12')} --editable ."] and machine.stamps == ["ready"]


def test_the_newest_versions_are_taken_where_they_are_asked_for(machine):
    assert machine.with_python("python3", "3.12.1").set_up(LOCKED="").returncode == 0
    assert machine.diary == ["pip uv", f"{BY_UV} --upgrade --editable .[dev]"]


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_package_that_is_asked_for_has_a_version_in_the_lock(version):
    """``launch/locks.sh`` writes them anew."""
    lines = (ROOT / f"launch/locks/python{version}.txt").read_text().splitlines()
    locked = {Requirement(line).name.lower(): Requirement(line) for line in lines if line and line[0] not in "# -"}
    asked = [Requirement(text) for text in importlib.metadata.requires("patchail_jax")]
    environment = {"python_version": version, "python_full_version": f"{version}.1"}
    needed = [
        one
        for one in asked
        if any(one.marker is None or one.marker.evaluate({**environment, "extra": extra}) for extra in ("dev", "docs"))
    ]
    assert len(needed) > 30
    for one in needed:
        (exact,) = locked[re.sub(r"[-_.]+", "-", one.name).lower()].specifier
        assert exact.operator == "==" and one.specifier.contains(exact.version, prereleases=True), (one, exact)


def test_where_uv_does_not_get_through_pip_does_it(machine):
    done = machine.has("no_uv").with_python("python3", "3.11.2").set_up()
    assert done.returncode == 0 and machine.stamps == ["ready"], done.stderr
    assert machine.diary == ["pip uv", f"pip {LOCKED.format('3.11')} --editable .[dev]"]
    assert "uv did not get through: trying pip" in done.stderr


def test_python_3_13_leaves_labmaze_out(machine):
    done = machine.with_python("python3", "3.13.0").set_up()
    assert done.returncode == 0, done.stderr
    assert machine.diary == [
        "pip uv",
        f'{BY_UV} {LOCKED.format("3.13")} --editable .[dev] --override labmaze; sys_platform == "never"',
    ]


@pytest.mark.parametrize(
    ("version", "user", "has_uv"), [("3.10.12", 0, True), ("3.10.12", 1000, False), ("3.14.0", 0, False)]
)
def test_a_python_of_another_version_gets_one_beside_it_by_uv(machine, version, user, has_uv):
    """As on images of Ubuntu 22.04."""
    machine.is_user(user).with_apt().with_python("python3", version)
    if has_uv:
        machine.fake(machine.bin / "uv", "uv")
    done = machine.set_up(EXTRAS="tpu", TOOLS="")
    assert done.returncode == 0 and machine.stamps == ["ready-tpu"], done.stderr
    assert f"python3 is Python {version}, but {SUPPORTED} is needed: bringing 3.12 by uv" in done.stderr
    asked = [] if has_uv else ["pip --target .uv uv"]
    packages = ["pip uv", f"{BY_UV} {LOCKED.format('3.12')} --editable .[tpu]"]
    assert machine.diary == [*asked, "uv python install --quiet 3.12", *packages]
    assert "(Python 3.12.8)" in done.stderr and (machine.tree / ".python").is_dir()  # not in a home that is closed


def test_where_uv_finds_no_python_it_is_the_distribution_s(machine):
    machine.with_apt().with_python("python3", "3.10.12").has("no_uv_pythons")
    done = machine.set_up()
    assert done.returncode == 0 and "(Python 3.11.0)" in done.stderr, done.stderr
    assert machine.diary[:2] == ["pip --target .uv uv", "apt-get python3.11 python3.11-venv"]


@pytest.mark.parametrize(
    ("version", "user", "lacks"),
    [("3.10.12", 0, "no_network"), ("3.14.0", 1000, "no_pypi"), ("2.7.18", 0, "no_pypi")],
)
def test_a_python_of_another_version_is_named_with_those_that_will_do(machine, version, user, lacks):
    machine.is_user(user).with_apt().with_python("python3", version).has(lacks, "no_old_pythons")
    said = refused(machine)
    assert f"Python {version}, but {SUPPORTED} is needed" in said and "uv python install 3.12" in said
    assert "apt-get install python3.11 python3.11-venv" in said
    assert not machine.diary and not (machine.tree / ".venv").exists()


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13"])
def test_a_supported_python_is_preferred_to_an_unsupported_python3(machine, name):
    version = f"{name.removeprefix('python')}.4"
    done = machine.with_python("python3", "3.10.12").with_python(name, version).set_up()
    assert done.returncode == 0 and f"(Python {version})" in done.stderr


def test_a_python_that_uv_has_installed_is_found_off_the_path(machine):
    machine.with_python("python3", "3.14.0").with_python("python3.12", "3.12.9", machine.home / ".local/bin")
    done = machine.set_up()
    assert done.returncode == 0 and "(Python 3.12.9)" in done.stderr


def test_a_name_that_does_not_start_is_passed_over(machine):
    machine.script("python3.12", "echo no such version >&2; exit 127")  # as pyenv's are
    done = machine.with_python("python3", "3.11.2").set_up()
    assert done.returncode == 0 and "(Python 3.11.2)" in done.stderr and "no such version" not in done.stderr


@pytest.mark.parametrize("left", ["3.10.12", "3.14.0"])
def test_an_environment_of_an_unsupported_python_is_made_anew(machine, left):
    machine.with_python("python3", "3.11.2").with_python("python", left, machine.tree / ".venv/bin")
    done = machine.set_up()
    assert done.returncode == 0 and "(Python 3.11.2)" in done.stderr


def test_without_python_it_is_installed_or_named(machine):
    assert "apt-get install python3 python3-venv)" in refused(machine)  # root, without apt-get
    assert "apt-get install python3 python3-venv)" in refused(machine.is_user(1000).with_apt())
    done = machine.is_user(0).set_up()
    assert done.returncode == 0 and machine.diary[0] == "apt-get python3 python3-venv" and machine.stamps == ["ready"]


@pytest.mark.parametrize("name", ["python3", "python3.12"])
def test_a_python_that_makes_no_environments_gets_its_package(machine, name):
    machine.with_python(name, "3.12.3").with_apt().has("no_venv").is_user(1000)
    assert f"apt-get install {name}-venv)" in refused(machine)
    assert machine.is_user(0).set_up().returncode == 0 and machine.diary[0] == f"apt-get {name}-venv"


def test_without_opengl_libraries_they_are_installed_or_named_before_any_download(machine):
    machine.with_python("python3", "3.12.3").with_apt().lacks("libraries").is_user(1000)
    assert f"sudo apt-get install {OPENGL})" in refused(machine) and not machine.diary
    done = machine.is_user(0).set_up()
    assert done.returncode == 0 and machine.diary[0] == f"apt-get {OPENGL}"


def test_libraries_that_draw_nothing_are_no_set_up(machine):
    machine.with_python("python3", "3.12.3").with_apt().lacks("draws").is_user(1000)
    said = refused(machine)
    assert "no OpenGL can draw off screen (as told)" in said and "MUJOCO_GL=disabled launch/setup.sh" in said
    assert "no OpenGL can draw" in refused(machine.is_user(0).has("hopeless"))
    done = machine.lacks("hopeless").set_up()
    assert done.returncode == 0 and machine.diary[-1] == f"apt-get {OPENGL} libosmesa6" and machine.stamps == ["ready"]


def test_features_are_set_up_without_opengl(machine):
    machine.with_python("python3", "3.12.3").lacks("draws", "libraries").is_user(1000)
    done = machine.set_up(MUJOCO_GL="disabled")
    assert done.returncode == 0 and machine.stamps == ["ready"], done.stderr


@pytest.mark.parametrize("version", ["3.12.3", "3.13.0"])
def test_without_network_nothing_is_ready_and_the_next_time_it_is(machine, version):
    machine.with_python("python3", version)
    assert machine.set_up().returncode == 0 and machine.stamps == ["ready"]
    said = refused(machine.has("no_network"), EXTRAS="cuda12")
    assert "Python packages cannot be installed" in said and "network" in said
    done = machine.lacks("no_network").set_up()
    assert done.returncode == 0 and machine.stamps == ["ready"]


def test_without_network_missing_packages_are_one_line(machine):
    machine.with_python("python3", "3.12.3").with_apt().lacks("libraries").has("no_network")
    assert f"apt-get cannot install {OPENGL}" in refused(machine)


def test_an_environment_that_was_cut_short_is_made_anew(machine):
    machine.with_python("python3", "3.12.3").with_python("python", "3.12.3", machine.tree / ".venv/bin")
    (machine.tree / ".venv/bin/python").write_text("#!/bin/sh\nexit 1\n")
    assert machine.set_up().returncode == 0 and machine.stamps == ["ready"]


def test_the_proof_draws_for_real(machine):
    """EGL without a vendor's part, which is what an image for GPUs has on a machine without one."""
    machine.with_python("python3", "3.12.3").is_user(1000)
    real = {"REAL_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    said = refused(machine, MUJOCO_GL="egl", __EGL_VENDOR_LIBRARY_DIRS=str(machine.home), **real)
    assert said.startswith("error: no OpenGL can draw off screen (MUJOCO_GL=egl: ")
    done = machine.set_up(MUJOCO_GL=os.environ["MUJOCO_GL"], **real)
    assert done.returncode == 0 and machine.stamps == ["ready"], done.stderr
