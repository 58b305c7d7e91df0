"""Off-screen rendering: which OpenGL is used, and how much it draws."""

import logging
import os
import subprocess
import sys
from typing import Any

import numpy as np

from patchail_jax.errors import UserError

_log = logging.getLogger(__name__)

QUALITIES = ("full", "fast")
_BACKENDS = ("egl", "osmesa")
_PROBE = "from dm_control import suite; suite.load('cartpole', 'swingup').physics.render(8, 8)"


def choose_backend() -> str:
    """The OpenGL that MuJoCo uses, from MUJOCO_GL, or the first of EGL and OSMesa that can draw a frame.

    Sets MUJOCO_GL, so call it before dm_control is imported. ``UserError`` where nothing draws.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen:
        return chosen
    for backend in _BACKENDS:
        # In another process: a backend that fails half-way cannot be taken back in this one.
        environment = {**os.environ, "MUJOCO_GL": backend}
        if subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True).returncode == 0:
            os.environ["MUJOCO_GL"] = backend
            return backend
    raise UserError(
        "no OpenGL can draw off screen; on Debian: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri (or libosmesa6)"
    )


def apply_quality(physics: Any, quality: str) -> None:
    """``full`` leaves the model alone; ``fast`` turns shadows and reflections off, for rendering on a CPU.

    ``fast`` draws other pixels: use it for expert and agent alike, and never for published numbers.
    """
    if quality not in QUALITIES:
        raise UserError(f"rendering quality {quality!r}; use one of {', '.join(QUALITIES)}")
    if quality == "fast":
        physics.model.light_castshadow[:] = 0
        physics.model.mat_reflectance[:] = 0


def render(physics: Any, *, image_size: int, camera_id: int) -> np.ndarray:
    """One frame ``[H,W,3] uint8`` of the physics' present state."""
    return physics.render(height=image_size, width=image_size, camera_id=camera_id)
