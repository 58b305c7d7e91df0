"""Demonstrations beside the task's own first frames, and cuts in them."""

import re

import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import description, first_frames, render, trajectory
from patchail_jax.demos.form import Demonstration, assemble
from patchail_jax.envs.view import View
from patchail_jax.programs import demos as program

TASK, SIDE = "cartpole_swingup", 48
VIEW = View(TASK, 2, image_size=SIDE)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The beginning of two shipped demonstrations, ``[2,9,H,W,3]``, and the task at four resets."""
    held = trajectory.load(trajectory.shipped(TASK)).first(2)
    frames = render.render(
        held._replace(states=held.states[:, :9], actions=None, rewards=None),
        VIEW,
        cache_dir=tmp_path_factory.mktemp("cache"),
    )
    return frames, render.reset_frames(VIEW, first_frames.RESETS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frames: frames, ""),
        (lambda frames: frames[:, :, ::-1], "seem to be upside down: .*--flip vertical"),
        (lambda frames: frames[:, :, ::-1, ::-1], "--flip (both|vertical)"),  # the cart in the middle has no left side
        (lambda frames: frames[..., ::-1], "in other colours .red and blue exchanged.: .*OpenCV"),
        (lambda frames: 255 - frames, "another camera, light or scene"),
    ],
)
def test_inspect_shows_the_task_beside_and_says_what_is_odd(drawn, tmp_path, capsys, change, said):
    frames, resets = drawn
    assert (first_frames.compare(change(frames)[:, 0], resets) == "") == (not said)
    parts = [Demonstration(np.ascontiguousarray(part)) for part in change(frames)]
    trajectory.save(tmp_path / "a.npz", assemble(parts, {"task": TASK, "action_repeat": 2}, name="a"))
    program.main(["inspect", str(tmp_path / "a.npz"), "--task", TASK])
    out = capsys.readouterr().out
    notes = [line for line in out.splitlines() if line.startswith("note ")]
    if said:
        (note,) = notes
        assert re.search(said, note)
    else:
        assert not notes
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.size == (8 * SIDE, 3 * SIDE)
        shown = np.asarray(sheet)[:SIDE].reshape(SIDE, 8, SIDE, 3).swapaxes(0, 1)
    np.testing.assert_array_equal(shown[:4], resets)
    np.testing.assert_array_equal(shown[4:6], change(frames)[:, 0])
    assert not shown[6:].any()


def test_a_mirrored_scene_is_told():
    resets = np.zeros((4, 16, 16, 3), np.uint8)
    resets[:, 4:12, :5] = 200
    assert "--flip horizontal" in first_frames.compare(resets[:1, :, ::-1], resets)
    assert "--flip both" in first_frames.compare(np.roll(resets, 4, 1)[:1, ::-1, ::-1], np.roll(resets, 4, 1))


def test_a_task_of_one_s_own_is_inspected_without_its_frames(tmp_path, capsys):
    frames = np.random.default_rng(0).integers(256, size=(9, 16, 16, 3), dtype=np.uint8)
    trajectory.save(
        tmp_path / "a.npz", assemble([Demonstration(frames)], {"task": "my_robot", "action_repeat": 2}, name="a")
    )
    assert program.main(["inspect", str(tmp_path / "a.npz"), "--task", "my_robot"]) == 0
    assert "cannot be drawn beside them" in capsys.readouterr().out


def moving(count, start):
    frames = np.zeros((count, 16, 16, 3), np.uint8)
    for t in range(count):
        frames[t, 2:14, (start + t // 2) % 12 : (start + t // 2) % 12 + 4] = 200
    return frames


def described(*parts):
    held = assemble([Demonstration(part) for part in parts], {"task": "x", "action_repeat": 2}, name="a")
    return "\n".join(description.describe(held))


def test_a_cut_is_noted_and_steady_motion_is_not():
    one, other = moving(20, 0), 255 - moving(20, 2)
    assert "jumps" not in described(one, other)
    assert "note            demonstration 1: jumps at frame 20: several episodes in one?" in described(
        one, np.concatenate([one, other])
    )


def test_demonstrations_that_are_black_are_named():
    said = described(moving(20, 0), np.zeros((20, 16, 16, 3), np.uint8), moving(20, 3))
    assert "the frames of demonstrations 1 show one colour" in said
