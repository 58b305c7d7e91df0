"""What a file says of how it is shown, how long it is and what it is of: it is heeded, or said."""

import os
import struct
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import import_hdf5, import_rows, task_fit, trajectory, unpickle
from patchail_jax.demos.form import Demonstration, assemble
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.demos.video_frames import open_clip
from patchail_jax.errors import UserError
from patchail_jax.files.ordinary import require_file
from tests.demos.test_odd_videos import clip, notes, read, shown, turned
from tests.films import film

ONE = 1 << 16
BEHIND = (0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "as_shown"),
    [
        (-ONE, 0, 0, ONE, lambda p: p[:, ::-1]),
        (ONE, 0, 0, -ONE, lambda p: p[::-1]),
        (0, ONE, ONE, 0, lambda p: p.swapaxes(0, 1)),
        (0, -ONE, -ONE, 0, lambda p: p[::-1, ::-1].swapaxes(0, 1)),
    ],
)
def test_a_mirrored_video_is_shown_as_players_show_it(tmp_path, a, b, c, d, as_shown):
    picture = np.full((32, 32, 3), 40, np.uint8)
    picture[:8, :16] = 220
    frames = np.broadcast_to(picture, (5, *picture.shape))
    plain = read(film(tmp_path / "film.mp4", frames, 50)).frames[0]
    seen = read(turned(tmp_path / "film.mp4", (a, b, 0, c, d, *BEHIND))).frames[0]
    np.testing.assert_array_equal(seen, [as_shown(frame) for frame in plain])


def test_a_video_turned_by_less_than_a_quarter_is_refused(tmp_path):
    source = turned(film(tmp_path / "film.mp4", clip(5), 50), (46341, 46341, 0, -46341, 46341, *BEHIND))
    with pytest.raises(UserError, match="turned by part of a quarter; turn it upright first"):
        read(source)


@pytest.mark.parametrize(("shape", "size"), [((2, 1), (32, 64)), ((1, 2), (64, 32)), ((16, 15), (32, 34))])
def test_pixels_that_are_not_square_are_drawn_out(tmp_path, shape, size):
    source = film(tmp_path / "film.mkv", clip(5), 50, sample_aspect_ratio=Fraction(*shape))
    opened = open_clip(source, frames_per_second=None)
    assert next(opened.pictures(np.zeros(1))).shape == (*size, 3)
    assert "{1}x{0}".format(*size) in "\n".join(opened.notes)


def test_a_film_that_declares_more_than_it_has_is_said_to(tmp_path):
    source = film(tmp_path / "film.webm", clip(30), 50)
    assert not notes(read(source))
    data = bytearray(source.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # Duration, in milliseconds
    struct.pack_into(">d", data, at, 3000.0)
    source.write_bytes(data)
    assert "has 0.60 s of the 3.00 s that it declares" in notes(read(source))


@pytest.mark.parametrize(("codec", "lossy"), [("ffv1", False), ("libx264", True), ("mpeg4", True)])
def test_films_without_loss_are_not_called_lossy(tmp_path, codec, lossy):
    assert bool(read(film(tmp_path / "film.mkv", clip(5), 50, codec=codec)).metadata.get("lossy")) == lossy


def pictures(folder, *names):
    folder.mkdir()
    for name in names:
        Image.fromarray(clip(1)[0]).save(folder / name)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("0000_left.png", "0000_right.png", "0001_left.png", "0001_right.png"),
        ("0.png", "0_mask.png", "1.png", "1_mask.png"),
        ("rgb_0.png", "rgb_1.png", "depth_0.png", "depth_1.png"),
    ],
)
def test_a_folder_of_several_series_is_refused(tmp_path, names):
    with pytest.raises(UserError, match="pictures of several series"):
        read(pictures(tmp_path / "film", *names), frames_per_second=50.0)


def test_numbers_that_are_missing_or_of_several_things_are_noted(tmp_path):
    every = [f"{number:04d}.png" for number in range(6)]
    assert "missing" not in notes(read(pictures(tmp_path / "whole", *every), frames_per_second=50.0))
    every.remove("0003.png")
    said = notes(read(pictures(tmp_path / "gap", *every), frames_per_second=50.0))
    assert "picture 2 is followed by 4: are some missing?" in said
    twos = pictures(tmp_path / "twos", *(f"{number}.png" for number in range(0, 12, 2)))
    assert "missing" not in notes(read(twos, frames_per_second=50.0))
    cameras = pictures(tmp_path / "cameras", *(f"cam{camera}_{number}.png" for camera in (0, 1) for number in range(3)))
    assert "count 2 things, as cam1_2 does: several videos in one?" in notes(read(cameras, frames_per_second=50.0))


def test_a_gif_of_varying_times_says_so_and_the_repeat_that_is_advised_will_do(tmp_path):
    first, *rest = (Image.fromarray(frame) for frame in clip(12))
    first.save(tmp_path / "film.gif", save_all=True, append_images=rest, duration=[20] * 7 + [100] * 5)
    with pytest.raises(UserError, match="use --action_repeat 12 here"):  # ten steps a second, not fifty
        read(tmp_path / "film.gif", rate=60.0)
    got = read(tmp_path / "film.gif", rate=10.0)
    assert shown(got.frames[0]) == [0, 5, 7, 8, 9, 10] and "0.02 to 0.1 s apart" in notes(got)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_pipes_and_devices_are_refused_at_once(tmp_path, make):
    path, request = tmp_path / "odd.npz", Request("my_robot", 2, 10**8)
    make(path)
    make(tmp_path / "1.png")
    for opening in (
        lambda: import_rows.read_npz([path], request),
        lambda: import_hdf5.read([path], request),
        lambda: unpickle.load(path, memory=10**8),
        lambda: trajectory.load(path),
        lambda: open_clip(path, frames_per_second=None),
        lambda: open_clip(tmp_path, frames_per_second=50.0),
    ):
        with pytest.raises(UserError, match="not an ordinary file"):
            opening()


def test_a_pointer_of_git_lfs_is_named(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(UserError, match="fetch it with git lfs pull"):
        require_file(path, "video")
    path.rename(tmp_path / "7.png")
    with pytest.raises(UserError, match="7.png: is a Git LFS pointer, not the picture"):
        open_clip(tmp_path, frames_per_second=50.0)


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("video", "a.mp4 a.MP4 a.m4v a.mov a.3gp a.3g2 a.avi a.webm a.mkv a.ts a.gif a.webp a.apng a.png"),
        ("hdf5", "a.HDF5 a.hdf5 a.h5 a.hdf"),
        ("pickle", "expert_demos.pkl a.pickle"),
    ],
)
def test_a_file_of_another_form_is_to_be_converted(tmp_path, form, names):
    for name in names.split():
        (tmp_path / name).write_bytes(b"anything")
        with pytest.raises(UserError, match=f"{name}: convert it first: patchail demos convert {form}$"):
            trajectory.load(tmp_path / name)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.bmp"])
def test_a_picture_is_said_to_be_one(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(UserError, match=f"{name}: is a picture; a folder of them is converted by patchail demos conv"):
        trajectory.load(tmp_path / name)


def held(task="cartpole_swingup", numbers=1, **metadata):
    frames = np.zeros((4, 16, 16, 3), np.uint8)
    one = Demonstration(frames, np.zeros((3, numbers), np.float32), None)
    return assemble([one], {"task": task, "action_repeat": 2, **metadata}, name="these")


def test_demonstrations_at_another_pace_than_the_task_s_are_said_to_be():
    assert not task_fit.compare(held(), source="x") and not task_fit.compare(held(steps_per_second=49.95), source="x")
    (slow,) = task_fit.compare(held(steps_per_second=125.0), source="x")
    assert slow.startswith("125 steps a second, and cartpole_swingup has 50") and "2.5 times too slowly" in slow
    (fast,) = task_fit.compare(held(steps_per_second=10.0), source="x")
    assert "5 times too fast" in fast
    assert not task_fit.compare(held("my_robot", 7, steps_per_second=10.0), source="x")


def test_actions_of_another_length_than_the_task_s_are_refused():
    with pytest.raises(UserError, match="x: holds actions of 3 numbers, and cartpole_swingup has 1: .*--no_actions"):
        task_fit.compare(held(numbers=3), source="x")


@pytest.mark.parametrize("name", ["", " ", "../x", "a/b", "walker_walk ", "two\nlines", "."])
def test_names_that_no_folder_can_have_are_refused(name):
    with pytest.raises(UserError, match="--task is"):
        task_fit.refuse_name(name)


def test_pictures_that_are_cut_are_said_to_be():
    gathering = Gathering(Request("my_robot", 2, 10**8), "these")
    gathering.add(np.zeros((3, 32, 48, 3), np.uint8), None, None, name="one")
    assert gathering.finish("x").metadata["notes"] == ["pictures of 48x32 are cut to their middle square"]
