"""With what a run was made: versions of the packages, and of this source tree."""

import importlib.metadata
import os
import platform
import subprocess
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


def versions() -> dict[str, Any]:
    """Versions of Python, of every package that computes, and of this source tree."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    source = Path(__file__).parents[2]
    commit = _git(source, "rev-parse", "HEAD")
    found["git_commit"] = commit or os.environ.get(BUILT_FROM) or None
    found["git_dirty"] = bool(_git(source, "status", "--porcelain")) if commit else None
    return found


def _git(folder: Path, *words: str) -> str | None:
    try:
        result = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return result.stdout.strip()
