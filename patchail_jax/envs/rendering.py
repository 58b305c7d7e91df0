"""Off-screen rendering: which OpenGL is used, and how much it draws."""

import contextlib
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from patchail_jax.errors import UserError

# The names that caches of pictures know the qualities by: one that draws other pixels than before gets a new name.
QUALITIES = {"full": "full", "fast": "fast, coarse shapes"}
_BACKENDS = ("egl", "osmesa")
_PROBE = "from dm_control import suite; suite.load('cartpole', 'swingup').physics.render(8, 8)"


def choose_backend() -> str:
    """The OpenGL that MuJoCo uses, from MUJOCO_GL, or the first of EGL and OSMesa that can draw a frame.

    Sets MUJOCO_GL, so call it before dm_control is imported. ``disabled`` where nothing draws: features, and
    environments that draw without OpenGL, need none.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen:
        return chosen
    try:
        return require_backend()
    except UserError:
        os.environ["MUJOCO_GL"] = "disabled"
        return "disabled"


def require_backend() -> str:
    """Like ``choose_backend``, but draws a frame even with the OpenGL that MUJOCO_GL names.

    ``UserError``, with what each OpenGL says, where none draws.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    reasons = []
    for backend in [chosen] if chosen else _BACKENDS:
        # In another process: a backend that fails half-way cannot be taken back in this one.
        environment = {**os.environ, "MUJOCO_GL": backend}
        drawn = subprocess.run([sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True)
        if drawn.returncode == 0:
            os.environ["MUJOCO_GL"] = backend
            return backend
        said = drawn.stderr.strip().splitlines() or [f"status {drawn.returncode}"]
        reasons.append(f"MUJOCO_GL={backend}: {said[-1]}")
    raise _no_opengl("; ".join(reasons))


@contextlib.contextmanager
def opengl() -> Iterator[None]:
    """What dm_control, PyOpenGL and MuJoCo raise where they cannot draw, a ``UserError`` in its place."""
    try:
        yield
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise _no_opengl(f"MUJOCO_GL={os.environ.get('MUJOCO_GL', '')}: {reason}") from error


def _no_opengl(reason: str) -> UserError:
    return UserError(
        f"no OpenGL can draw off screen ({reason}). Unset MUJOCO_GL "
        "if you have set it; on Debian: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri libopengl0 (or libosmesa6)"
    )


def apply_quality(physics: Any, quality: str) -> None:
    """``full`` leaves the model alone; ``fast`` is for rendering on a CPU: no shadows, no reflections, coarser round
    shapes. Call it before the first frame is drawn, when the shapes are made.

    ``fast`` draws other pixels: use it for expert and agent alike, and never for published numbers.
    """
    if quality not in QUALITIES:
        raise UserError(f"rendering quality {quality!r}; use one of {', '.join(QUALITIES)}")
    if quality == "fast":
        physics.model.light_castshadow[:] = 0
        physics.model.mat_reflectance[:] = 0
        shapes = physics.model.vis.quality
        shapes.numslices, shapes.numstacks = 12, 8  # of 28 and 16: a capsule has a fifth of the triangles


class Renderer:
    """Draws one physics again and again, from one camera.

    The pixels of ``physics.render``, which makes a new scene for every frame: that takes 2 to 5 ms on a CPU, as long
    as drawing the frame itself where quality is ``fast``.
    """

    def __init__(self, physics: Any, *, image_size: int, camera_id: int) -> None:
        from dm_control.mujoco.engine import Camera

        buffer, cameras = physics.model.vis.global_, physics.model.ncam
        largest = min(buffer.offwidth, buffer.offheight)
        if not 1 <= image_size <= largest:
            raise UserError(f"an image of {image_size} pixels cannot be drawn; use 1 to {largest}")
        if not -1 <= camera_id < cameras:
            raise UserError(
                f"no camera {camera_id}; use 0 to {cameras - 1}, or -1 for the task's own, as config.env.camera_id"
            )
        with opengl():
            physics.contexts  # noqa: B018 - they are made when they are asked for
        self._camera = Camera(physics, height=image_size, width=image_size, camera_id=camera_id)

    def __call__(self) -> np.ndarray:
        """A frame ``[H,W,3] uint8`` of the physics' present state, the caller's to keep."""
        return self._camera.render().copy()  # the camera draws the next frame into the same memory


def renderer_name(physics: Any) -> str:
    """What OpenGL calls itself where this physics is drawn, for example a GPU's name, or llvmpipe in software."""
    from OpenGL import GL

    with physics.contexts.gl.make_current() as context:
        return str(context.call(GL.glGetString, GL.GL_RENDERER).decode())


@functools.cache
def opengl_name() -> str:
    """As ``renderer_name``, of whatever this process draws; ``UserError`` where nothing draws.

    It takes 0.2 seconds, once a process, and the import of dm_control.
    """
    choose_backend()  # dm_control looks once, when it is imported
    with opengl():
        from dm_control.mujoco import Physics

        physics = Physics.from_xml_string("<mujoco/>")
        try:
            return renderer_name(physics)
        finally:
            physics.free()
