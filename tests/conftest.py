"""Four virtual CPU devices, strict ranks, no wandb, and one compilation of what the programs that tests start share."""

import logging
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from tests import xla_flags

# Most of a run's time in tests is checkpoints' fsync, which memory does not wait for. Containers may have little of it.
_MEMORY, _ENOUGH = Path("/dev/shm"), 4 * 1024**3
if "TMPDIR" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH:
    os.environ["TMPDIR"], tempfile.tempdir = str(_MEMORY), None  # for the programs that tests start too

_FIRST = "PATCHAIL_TEST_RUN" not in os.environ
# Shared by the programs that tests start; new for each run, so nothing stale is in it.
_RUN = os.environ.setdefault("PATCHAIL_TEST_RUN", os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid())))
_COMPILED = Path(tempfile.gettempdir()) / f"patchail_jax_compiled_{_RUN}"

os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_COMPILED)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {xla_flags.devices(4)}"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # the places in the code that an operation names are not read here
os.environ["GALLIVM_PERF"] = "nopt"  # Mesa compiles shaders for each context, and tests draw little with each
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["WANDB_MODE"] = "disabled"

import jax  # noqa: E402

# Tests themselves seldom compile what another has compiled, and to write it for others takes a sixth as long again.
jax.config.update("jax_enable_compilation_cache", False)

from jaxtyping import install_import_hook  # noqa: E402

# Before anything imports them: each call of their functions is checked against its types, shapes of arrays included.
CHECKED = ["patchail_jax.equations", "patchail_jax.networks", "patchail_jax.updates", "patchail_jax.maps"]
install_import_hook(CHECKED, "beartype.beartype")

from patchail_jax.envs.rendering import choose_backend  # noqa: E402
from tests.shared_programs import share  # noqa: E402

choose_backend()


def maps() -> int:
    """Memory maps of this process, 0 where the system does not say."""
    path = Path("/proc/self/maps")
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture(scope="module")
def shared_programs():
    """For modules of many runs."""
    with pytest.MonkeyPatch.context() as patched:
        share(patched)
        yield


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_let_go():
    """Each maps memory, and a process may have 65,530 maps (``vm.max_map_count``): all tests' together are more."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def compiled_programs_of_long_modules_are_let_go():
    """One module's may be more too."""
    yield
    if maps() > 15_000:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def what_a_program_changes_is_put_back(monkeypatch):
    """``programs.console.start`` prepares a process of its own, and tests call it in theirs."""
    ours = logging.getLogger("patchail_jax")
    handlers, propagate, level = ours.handlers, ours.propagate, ours.level
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    yield
    ours.handlers, ours.propagate = handlers, propagate
    ours.setLevel(level)


def pytest_sessionfinish(session):
    """The first process to start is the last to end; it takes the compiled programs with it."""
    if _FIRST and not hasattr(session.config, "workerinput"):
        shutil.rmtree(_COMPILED, ignore_errors=True)
