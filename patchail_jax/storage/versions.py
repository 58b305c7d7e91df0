"""With what a run was made: the command, the machine, versions of the packages, and of this source tree."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGES = (
    "patchail_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "chex",
    "numpy",
    "dm_control",
    "mujoco",
    "wandb",
)
BUILT_FROM = "PATCHAIL_GIT_COMMIT"  # variable of a container's image, which holds no checkout


def command() -> str:
    """The command that started this process."""
    return shlex.join(["python", *sys.orig_argv[1:]])


def machine() -> str:
    """The processor and how many of its cores this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.machine()}, {cores} CPU core{'s' if cores != 1 else ''}"


def versions() -> dict[str, Any]:
    """Versions of Python, of every package that computes, and of this source tree."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    source = Path(__file__).parents[2]
    top = _git(source, "rev-parse", "--show-toplevel")
    ours = top is not None and Path(top).resolve() == source.resolve()  # not a repository that it is installed in
    commit = _git(source, "rev-parse", "HEAD") if ours else None
    found["git_commit"] = commit or os.environ.get(BUILT_FROM) or None
    found["git_dirty"] = bool(_git(source, "status", "--porcelain")) if commit else None
    return found


def _git(folder: Path, *words: str) -> str | None:
    try:
        result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return result.stdout.strip()
