"""Rendered pictures equal live ones, and the cache gives them again without rendering."""

import logging
from pathlib import Path

import numpy as np
import pytest

from patchail_jax.demos import render, trajectory
from patchail_jax.demos.trajectory import Trajectories
from patchail_jax.envs import dmc, rendering, tasks
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError

VIEW = View("cartpole_swingup", action_repeat=2, image_size=16, camera_id=0, quality="fast")


@pytest.fixture
def rendered(monkeypatch) -> list:
    """Grows by one element with every frame that is rendered."""
    calls, real = [], rendering.Renderer

    def counting(physics, **look):
        draw = real(physics, **look)
        return lambda: calls.append(look) or draw()

    monkeypatch.setattr(rendering, "Renderer", counting)
    return calls


@pytest.fixture
def painted(monkeypatch) -> list:
    """As ``rendered``, with noise for pictures: for tests of the cache alone, which need no renderer."""
    calls, rng = [], np.random.default_rng(0)

    def painting(physics, *, image_size, **look):
        return lambda: calls.append(look) or rng.integers(256, size=(image_size, image_size, 3), dtype=np.uint8)

    monkeypatch.setattr(rendering, "Renderer", painting)
    return calls


def scaled(action, bounds):
    """The task's own action for one in [-1, 1]; quadruped's bounds are others."""
    return bounds.minimum + (action + 1.0) / 2.0 * (bounds.maximum - bounds.minimum)


@pytest.mark.parametrize(
    ("task", "quality"), [*((task, "full") for task in tasks.PAPER_TASKS), ("hopper_stand", "fast")]
)
def test_frame_equals_the_agents_live_one_at_84_pixels(task, quality, tmp_path):
    rendering.choose_backend()
    from dm_control import suite

    # The suite's own environment, in step with the agent's, tells the states.
    names = tasks.facts(task)
    twin = suite.load(names.domain, names.task)
    twin.task.random.seed(7)
    twin.reset()
    agent = dmc.FrameEnvironment(task=task, action_repeat=5, image_size=84, quality=quality)
    frames, states = [agent.reset(7).frame], [twin.physics.get_state()]
    for action in np.random.default_rng(0).uniform(-1, 1, size=(2, agent.action_size)):
        frames.append(agent.step(action).frame)
        for _ in range(5):
            twin.step(scaled(action, twin.action_spec()))
        states.append(twin.physics.get_state())
    agent.close()
    recorded = Trajectories(np.array([states]), None, None, {"task": task, "action_repeat": 5})
    again = render.render(recorded, View(task, 5, 84, quality=quality), cache_dir=tmp_path)
    np.testing.assert_array_equal(again[0], frames)
    assert not np.array_equal(frames[0], frames[2])  # or a state that is never set would go unseen


@pytest.mark.parametrize("task", ["cheetah_run", "quadruped_run"])
def test_shipped_actions_lead_from_state_to_state(task):
    rendering.choose_backend()
    environment = dmc.load(task, quality="full")
    environment.reset()
    recorded, physics = trajectory.load(trajectory.shipped(task)), environment.physics
    for t in (0, 250, 499):
        with physics.reset_context():
            physics.set_state(recorded.states[3, t])
        reward = 0.0
        for _ in range(recorded.metadata["action_repeat"]):
            reward += environment.step(scaled(recorded.actions[3, t].astype(float), environment.action_spec())).reward
        np.testing.assert_allclose(physics.get_state(), recorded.states[3, t + 1], atol=1e-9)
        assert reward == pytest.approx(recorded.rewards[3, t], abs=1e-6)


def test_shipped_states_give_pictures(tmp_path, rendered):
    recorded = trajectory.load(trajectory.shipped("cartpole_swingup"))
    frames = render.render(recorded._replace(states=recorded.states[:1, :2]), VIEW, cache_dir=tmp_path)
    assert frames.shape == (1, 2, 16, 16, 3) and frames.dtype == np.uint8 and frames.std() > 1
    assert len(rendered) == 2


def test_hit_does_not_render_again(tiny, tmp_path, painted, monkeypatch):
    first = render.render(tiny, VIEW, cache_dir=tmp_path)
    assert len(painted) == 3 * 5
    monkeypatch.setattr(dmc, "load", None)  # not even the simulator is loaded
    np.testing.assert_array_equal(render.render(tiny, VIEW, cache_dir=tmp_path), first)
    np.testing.assert_array_equal(
        render.render(tiny._replace(states=tiny.states[:1]), VIEW, cache_dir=tmp_path), first[:1]
    )
    assert len(painted) == 3 * 5


def test_only_new_demonstrations_are_rendered(tiny, tmp_path, painted):
    first = render.render(tiny._replace(states=tiny.states[1:2]), VIEW, cache_dir=tmp_path)
    np.testing.assert_array_equal(render.render(tiny, VIEW, cache_dir=tmp_path)[1:2], first)
    assert len(painted) == 3 * 5


@pytest.mark.parametrize(
    "other", [{"image_size": 17}, {"camera_id": 1}, {"quality": "full"}, {"task": "cartpole_balance"}]
)
def test_other_look_is_another_picture(tiny, tmp_path, painted, other):
    one = tiny._replace(states=tiny.states[:1])
    render.render(one, VIEW, cache_dir=tmp_path)
    render.render(one, VIEW._replace(**other), cache_dir=tmp_path)
    assert len(painted) == 2 * 5


def test_new_look_of_a_quality_is_another_picture(tiny, tmp_path, painted, monkeypatch):
    one = tiny._replace(states=tiny.states[:1])
    render.render(one, VIEW, cache_dir=tmp_path)
    monkeypatch.setitem(rendering.QUALITIES, "fast", "fast, coarser still")
    render.render(one, VIEW, cache_dir=tmp_path)
    assert len(painted) == 2 * 5
    render.render(one, VIEW._replace(quality="full"), cache_dir=tmp_path)
    monkeypatch.setitem(rendering.QUALITIES, "fast", "fast, finer")
    render.render(one, VIEW._replace(quality="full"), cache_dir=tmp_path)
    assert len(painted) == 3 * 5


def test_other_state_or_version_or_backend_is_another_picture(tiny, tmp_path, painted, monkeypatch):
    one = tiny._replace(states=tiny.states[:1].copy())
    render.render(one, VIEW, cache_dir=tmp_path)
    one.states[0, -1, -1] += 1e-9
    render.render(one, VIEW, cache_dir=tmp_path)
    assert len(painted) == 2 * 5
    with monkeypatch.context() as patch:
        patch.setattr(render.importlib.metadata, "version", lambda package: "99")
        render.render(one, VIEW, cache_dir=tmp_path)
    assert len(painted) == 3 * 5
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "choose_backend", lambda: "another")
        render.render(one, VIEW, cache_dir=tmp_path)
    assert len(painted) == 4 * 5
    monkeypatch.setattr(rendering, "opengl_name", lambda: "another GPU")
    render.render(one, VIEW, cache_dir=tmp_path)
    assert len(painted) == 5 * 5
    render.render(one, VIEW, cache_dir=tmp_path)
    assert len(painted) == 5 * 5


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def other_shape(file: Path) -> None:
    np.save(file, np.zeros((5, 16, 16), np.uint8))


def other_kind(file: Path) -> None:
    np.save(file, np.zeros((5, 16, 16, 3), np.float32))


def objects(file: Path) -> None:
    np.save(file, np.array([{}]), allow_pickle=True)


@pytest.mark.parametrize("damage", [cut_short, empty, other_shape, other_kind, objects])
def test_corrupt_cache_is_rendered_again_and_mended(tiny, tmp_path, painted, damage, caplog):
    one = tiny._replace(states=tiny.states[:1])
    render.render(one, VIEW, cache_dir=tmp_path)
    (file,) = tmp_path.iterdir()
    damage(file)
    again = render.render(one, VIEW, cache_dir=tmp_path)
    assert len(painted) == 2 * 5 and str(file) in caplog.text
    np.testing.assert_array_equal(render.render(one, VIEW, cache_dir=tmp_path), again)
    assert len(painted) == 2 * 5


def test_interrupted_rendering_keeps_whole_demonstrations_only(tiny, tmp_path, painted, monkeypatch):
    paint = rendering.Renderer

    def interrupted(physics, **look):
        draw = paint(physics, **look)

        def drawing():
            if len(painted) == 7:
                raise KeyboardInterrupt
            return draw()

        return drawing

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rendering, "Renderer", interrupted)
        render.render(tiny, VIEW, cache_dir=tmp_path)
    assert [file.suffix for file in tmp_path.iterdir()] == [".npy"]
    render.render(tiny, VIEW, cache_dir=tmp_path)
    assert len(painted) == 7 + 2 * 5


def test_unwritable_cache_still_gives_frames(tiny, tmp_path, painted, caplog):
    blocked = tmp_path / "file"
    blocked.touch()
    frames = render.render(tiny, VIEW, cache_dir=blocked / "cache")
    assert frames.shape == (3, 5, 16, 16, 3) and "PATCHAIL_CACHE" in caplog.text


def test_states_of_another_size_name_the_file(tiny, tmp_path, painted):
    with pytest.raises(UserError, match=r"mine.npz: a state of cheetah_run has 18 numbers, not 4") as caught:
        render.render(tiny, VIEW._replace(task="cheetah_run"), cache_dir=tmp_path, source="mine.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("task", "warned"), [("reacher_easy", True), ("finger_spin", False)])
def test_scene_drawn_at_reset_is_told(task, warned, tmp_path, painted, caplog):
    size = {"reacher_easy": 4, "finger_spin": 6}[task]
    demonstrations = Trajectories(np.zeros((1, 2, size)), None, None, {"task": task, "action_repeat": 2})
    with caplog.at_level(logging.WARNING, logger=render.__name__):
        render.render(demonstrations, VIEW._replace(task=task), cache_dir=tmp_path)
    assert ("at random" in caplog.text) == warned


def test_action_size_is_the_tasks():
    assert render.task_action_size("walker_walk") == 6
