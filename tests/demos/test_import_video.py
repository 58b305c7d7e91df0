"""Films, gifs and folders of png become frames at the agent's rate, of the right place and size."""

import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import import_video, trajectory
from patchail_jax.demos.gathering import Request
from patchail_jax.demos.import_video import Cutting
from patchail_jax.errors import UserError
from patchail_jax.outputs.video import write_video
from tests.films import film, sound

ASKED = {"task": "cartpole_swingup", "action_repeat": 2, "image_size": 16, "memory": 10**9}
GREYS = np.linspace(20, 220, 40).round()


def clip(count=40, size=32):
    """Frame i is of one grey, ``GREYS[i]``, that survives any codec."""
    return np.broadcast_to(GREYS[:count, None, None, None], (count, size, size, 3)).astype(np.uint8)


def folder(path, frames):
    path.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame_{number}.png")
    return path


def read(*paths, **settings):
    cutting = {key: settings.pop(key) for key in Cutting._fields if key in settings}
    return import_video.read(paths, Request(**{**ASKED, **settings}), Cutting(**cutting))


def shown(frames):
    """Which frame of ``clip`` each one is."""
    middle = frames[:, 4:12, 4:12].mean(axis=(1, 2, 3))
    return np.abs(middle[:, None] - GREYS).argmin(axis=1).tolist()


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".webm", ".mkv", ".gif", ".png"])
def test_every_kind_of_video_gives_its_frames(tmp_path, suffix):
    if suffix == ".png":
        source, settings = folder(tmp_path / "frames", clip()), {"frames_per_second": 50.0}
    elif suffix == ".gif":
        source, settings = tmp_path / "film.gif", {}
        write_video(source, clip(), fps=50.0)
    else:
        source, settings = film(tmp_path / f"film{suffix}", clip(), 50), {}
    got = read(source, **settings)  # cartpole at action repeat 2: 50 steps a second
    assert got.frames.shape == (1, 40, 16, 16, 3) and got.actions is None and got.lengths is None
    assert shown(got.frames[0]) == list(range(40))
    assert bool(got.metadata.get("lossy")) == (suffix != ".png") == bool(import_video.advice(got.metadata, 16))
    trajectory.save(tmp_path / "out.npz", got)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".png"])
def test_the_frame_rate_becomes_the_agent_s(tmp_path, suffix):
    if suffix == ".png":
        source, settings = folder(tmp_path / "frames", clip()), {"frames_per_second": 50.0}
    else:
        source, settings = tmp_path / f"film{suffix}", {}
        write_video(source, clip(), fps=50.0)
    halved = read(source, action_repeat=4, **settings)
    assert shown(halved.frames[0]) == list(range(0, 40, 2)) and halved.metadata["action_repeat"] == 4
    assert shown(read(source, control_rate=12.5, **settings).frames[0]) == list(range(0, 40, 4))
    part = read(source, start=0.2, end=0.5, **settings)
    assert shown(part.frames[0]) == list(range(10, 25))
    slow = read(source, frames_per_second=100.0, control_rate=50.0)  # filmed at 100 a second
    assert shown(slow.frames[0]) == list(range(0, 40, 2))


def test_a_rate_between_takes_the_frames_nearest_in_time(tmp_path):
    got = shown(read(film(tmp_path / "film.mp4", clip(), 30), control_rate=20.0).frames[0])
    assert len(got) == 27 and max(abs(3 * k / 2 - frame) for k, frame in enumerate(got)) < 1


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
@pytest.mark.parametrize("rate", [30, 29.97, 24])
def test_rounded_times_in_a_container_lose_no_frame(tmp_path, suffix, rate):
    source = film(tmp_path / f"film{suffix}", clip(), rate)
    assert shown(read(source, control_rate=rate).frames[0]) == list(range(40))


def test_a_video_too_slow_to_show_every_step_is_refused_with_the_action_repeat_that_fits(tmp_path):
    source = film(tmp_path / "film.mp4", clip(), 25)
    with pytest.raises(UserError, match="25 frames a second cannot show 50 .*--action_repeat 4 ") as caught:
        read(source)
    assert "\n" not in str(caught.value)
    assert shown(read(source, action_repeat=4).frames[0]) == list(range(40))


def test_a_video_too_slow_for_a_control_rate_is_refused_with_one_that_fits(tmp_path):
    source = film(tmp_path / "film.mp4", clip(), 25)
    with pytest.raises(UserError, match="25 frames a second cannot show 50 .*--action_repeat 4 .*--control_rate 25,"):
        read(source, control_rate=50.0)
    assert shown(read(source, action_repeat=4, control_rate=25.0).frames[0]) == list(range(40))


def test_crop_and_middle_square_and_reduction_by_area(tmp_path):
    frame = np.zeros((20, 40, 3), np.uint8)
    frame[:, 10:30] = np.random.default_rng(0).integers(256, size=(20, 20, 3))
    frame[4:12, :8] = 255
    source = folder(tmp_path / "frames", [frame, frame, frame])
    fixed = {"frames_per_second": 50.0, "image_size": 4}
    middle = frame[:, 10:30].reshape(4, 5, 4, 5, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(read(source, **fixed).frames[0, 0], middle, atol=1.01)
    np.testing.assert_array_equal(read(source, crop=(0, 4, 8), **fixed).frames[0, 0], 255)
    with pytest.raises(UserError, match="--crop 33,4,8 leaves the picture of 40x20 pixels"):
        read(source, crop=(33, 4, 8), **fixed)
    with pytest.raises(
        UserError, match="frames of 20x20 pixels are too small for an image size of 24: use --image_size 20"
    ):
        read(source, frames_per_second=50.0, image_size=24)


def test_pictures_on_which_nothing_can_be_seen_are_refused(tmp_path):
    source = folder(tmp_path / "frames", [np.zeros((1, 64, 3), np.uint8)] * 3)
    for size in (None, 1, 84):
        with pytest.raises(
            UserError, match="frames of 1x1 pixels are too small to show anything: each side must have 8"
        ):
            read(source, frames_per_second=50.0, image_size=size)


def test_of_a_part_without_steps_the_beginning_is_named(tmp_path):
    source = film(tmp_path / "film.mp4", clip(), 50)
    with pytest.raises(UserError, match="shows 0 agent steps from 0.2 s on, of 0.8 s"):
        read(source, split=(0.2, 0.205))
    with pytest.raises(UserError, match="shows 0 agent steps from 0 s on"):
        read(source, split=(0.005,))


def test_several_videos_are_several_demonstrations_of_their_own_length(tmp_path):
    sources = [film(tmp_path / f"{count}.mp4", clip(count), 50) for count in (40, 12)]
    got = read(*sources)
    assert got.frames.shape[:2] == (2, 40) and got.lengths.tolist() == [39, 11]
    assert shown(got.frames[1, :12]) == list(range(12))


def test_pictures_in_a_folder_are_taken_by_number(tmp_path):
    assert shown(read(folder(tmp_path / "frames", clip()), frames_per_second=50.0).frames[0]) == list(range(40))


def test_the_advice_names_the_size_the_video_was_reduced_from(tmp_path):
    got = read(film(tmp_path / "film.mp4", clip(size=96), 50))
    assert "--config.env.look=video --config.env.look_size=96:" in import_video.advice(got.metadata, 16)[0]
    assert "look_size" not in import_video.advice(got.metadata, 96)[0]


def playlist(path):
    path.write_text(f"#EXTM3U\n#EXTINF:1,\nfile:///{path.parent}/secret.mp4\n#EXT-X-ENDLIST\n")


def cut_short(path):
    path.write_bytes(film(path.with_name("whole.mp4"), clip(), 50).read_bytes()[:-900])


def text(path):
    path.write_text("not a video")


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
@pytest.mark.parametrize("make", [playlist, cut_short, text, empty, sound])
def test_what_is_not_a_whole_video_is_one_line(tmp_path, make, suffix):
    film(tmp_path / "secret.mp4", clip(), 50)
    source = tmp_path / f"film{suffix}"
    make(source)
    with pytest.raises(UserError) as caught:
        read(source)
    assert "film" in str(caught.value) and "\n" not in str(caught.value)


def test_a_broken_png_is_one_line(tmp_path):
    source = folder(tmp_path / "frames", clip(5))
    file = source / "frame_3.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(UserError, match="frames: frame_3.png: cannot be read"):
        read(source, frames_per_second=50.0)


@pytest.mark.parametrize(
    ("make", "settings", "said"),
    [
        (lambda path: folder(path / "frames", clip(5)), {}, "--frames_per_second"),
        (lambda path: folder(path / "frames", []), {"frames_per_second": 50.0}, "without pictures"),
        (lambda path: path / "missing.mp4", {}, "no such video"),
        (lambda path: film(path / "film.mp4", clip(), 50), {"start": 0.79}, "agent steps from 0.79 s on"),
        (lambda path: film(path / "film.mp4", clip(), 50), {"memory": 9000}, "more frames than memory"),
        (lambda path: film(path / "film.mp4", clip(), 50), {"task": "my_robot"}, "give --control_rate"),
        (lambda path: (path / "film.txt").touch() or path / "film.txt", {}, "film.txt: cannot be read as a video"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, make, settings, said):
    with pytest.raises(UserError, match=said) as caught:
        read(make(tmp_path), **settings)
    assert "\n" not in str(caught.value)
