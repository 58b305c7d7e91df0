"""A kept camera draws what the suite draws, ``fast`` draws the scene in less time, and some OpenGL is found."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.envs import rendering
from patchail_jax.envs.dmc import load
from patchail_jax.envs.rendering import Renderer, apply_quality, choose_backend, require_backend
from patchail_jax.errors import UserError


def started(task, quality="full"):
    environment = load(task, quality=quality)
    environment.task.random.seed(0)
    environment.reset()
    return environment


@pytest.mark.parametrize(
    ("task", "quality", "camera_id"),
    [("cheetah_run", "full", 0), ("quadruped_run", "fast", 2), ("finger_spin", "fast", -1)],
)
def test_a_kept_camera_draws_what_the_suite_draws(task, quality, camera_id):
    environment = started(task, quality)
    renderer = Renderer(environment.physics, image_size=84, camera_id=camera_id)
    frames, expected = [], []
    for action in np.random.default_rng(0).uniform(-1, 1, (4, *environment.action_spec().shape)):
        for _ in range(10):
            environment.step(action)
        frames.append(renderer())
        expected.append(environment.physics.render(84, 84, camera_id))
    # Compared at the end: a frame must not change when the next one is drawn.
    np.testing.assert_array_equal(frames, expected)
    assert frames[0].dtype == np.uint8 and not np.array_equal(frames[0], frames[-1])


@pytest.mark.parametrize("task", ["walker_stand", "cartpole_swingup"])
def test_fast_is_the_scene_without_shadows_and_reflections(task):
    full, fast = started(task).physics, started(task, "fast").physics
    plain = full.render(48, 48, 0, render_flag_overrides={"shadow": False, "reflection": False}).astype(int)
    as_fast, as_full = (Renderer(physics, image_size=48, camera_id=0)() for physics in (fast, full))
    assert np.abs(as_fast - plain).mean() < 0.75 < np.abs(as_full - plain).mean()


def test_full_leaves_the_model_alone_and_fast_makes_round_shapes_coarser():
    full, fast = (started("walker_stand", quality).physics.model for quality in ("full", "fast"))
    assert full.light_castshadow.any() and full.mat_reflectance.any()
    assert (full.vis.quality.numslices, full.vis.quality.numstacks) == (28, 16)
    assert (fast.vis.quality.numslices, fast.vis.quality.numstacks) == (12, 8)
    assert fast.vis.quality.offsamples == full.vis.quality.offsamples


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 0, "camera_id": 0}, "use 1 to 480"),
        ({"image_size": 481, "camera_id": 0}, "use 1 to 480"),
        ({"image_size": 24, "camera_id": 9}, "no camera 9.*config.env.camera_id"),
        ({"image_size": 24, "camera_id": -2}, "no camera -2"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(settings, message):
    with pytest.raises(UserError, match=message) as error:
        Renderer(started("cartpole_swingup").physics, **settings)
    assert "\n" not in str(error.value)


def test_an_unknown_quality_is_one_line():
    with pytest.raises(UserError, match="'best'; use one of full, fast"):
        apply_quality(None, "best")


def test_a_chosen_backend_is_kept(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "OSMesa")
    monkeypatch.setattr(rendering.subprocess, "run", None)  # nothing is tried
    assert choose_backend() == "osmesa"


@pytest.mark.parametrize(("working", "chosen"), [({"egl", "osmesa"}, "egl"), ({"osmesa"}, "osmesa")])
def test_the_first_backend_that_draws_is_chosen(monkeypatch, working, chosen):
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(
        rendering.subprocess,
        "run",
        lambda *_, env, **__: SimpleNamespace(returncode=env["MUJOCO_GL"] not in working, stderr=""),
    )
    assert choose_backend() == os.environ["MUJOCO_GL"] == chosen


def test_where_nothing_draws_opengl_is_disabled(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(rendering.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr=""))
    assert choose_backend() == os.environ["MUJOCO_GL"] == "disabled"


@pytest.mark.parametrize(
    ("asked", "reasons"),
    [("", "MUJOCO_GL=egl: no egl; MUJOCO_GL=osmesa: no osmesa"), ("EGL", "MUJOCO_GL=egl: no egl")],
)
def test_where_opengl_is_required_each_that_fails_is_named_with_its_reason(monkeypatch, asked, reasons):
    monkeypatch.setenv("MUJOCO_GL", asked)
    monkeypatch.setattr(
        rendering.subprocess,
        "run",
        lambda *_, env, **__: SimpleNamespace(returncode=1, stderr=f"Traceback\n no\nno {env['MUJOCO_GL']}\n"),
    )
    with pytest.raises(UserError, match=re.escape(f"({reasons})")) as error:
        require_backend()
    assert "\n" not in str(error.value) and os.environ["MUJOCO_GL"] == asked


def test_what_is_required_has_drawn_a_frame():
    assert require_backend() == os.environ["MUJOCO_GL"]


@pytest.mark.parametrize("backend", ["disabled", "direct3d"])
def test_without_opengl_the_packages_are_named_and_features_are_seen_all_the_same(backend):
    program = """
import sys
from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.features import FeatureEnvironment
from patchail_jax.errors import UserError
if BACKEND == "disabled":
    features = FeatureEnvironment(task="cartpole_swingup", action_repeat=2, episode_frames=10)
    assert features.reset(0).frame.size == 5
try:
    FrameEnvironment(task="cartpole_swingup", action_repeat=2, image_size=16)
except UserError as error:
    sys.exit(str(error))
"""
    command = [sys.executable, "-c", program.replace("BACKEND", repr(backend))]
    result = subprocess.run(
        command, env={**os.environ, "MUJOCO_GL": backend}, timeout=120, capture_output=True, text=True
    )
    message = result.stderr.splitlines()[-1]
    assert result.returncode == 1 and message.startswith(f"no OpenGL can draw off screen (MUJOCO_GL={backend}: ")
    assert re.search("apt-get install libegl1 .*libosmesa6", message)


def test_opengl_that_is_not_there_is_no_unknown_task():
    program = (
        "from patchail_jax.demos import task_fit, trajectory\n"
        "task_fit.compare(trajectory.load(trajectory.shipped('cartpole_swingup')), source='these')\n"
    )
    wrong = {**os.environ, "MUJOCO_GL": "foo"}
    done = subprocess.run([sys.executable, "-c", program], env=wrong, capture_output=True, text=True, timeout=120)
    assert "UserError: no OpenGL can draw off screen (MUJOCO_GL=foo" in done.stderr


@pytest.mark.parametrize(
    "before",
    [
        "",
        "from patchail_jax.envs.tasks import facts; facts('cartpole_swingup')\n",
        "from patchail_jax.demos.render import task_action_size; task_action_size('cartpole_swingup')\n",
    ],
)
def test_whatever_meets_dm_control_first_finds_its_opengl(before):
    program = (
        f"{before}from patchail_jax.envs.dmc import FrameEnvironment\n"
        "environment = FrameEnvironment(task='cartpole_swingup', action_repeat=2, image_size=16, quality='fast')\n"
        "assert environment.reset(0).frame.std() > 1\n"
    )
    unset = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"}
    subprocess.run([sys.executable, "-c", program], env=unset, check=True, timeout=120)
