"""Videos have the frames that went in."""

import av
import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.outputs.video import write_video


def make_frames(count, height, width):
    """A moving square, smooth enough for any codec."""
    frames = np.full((count, height, width, 3), (40, 60, 80), np.uint8)
    for t, frame in enumerate(frames):
        frame[4:12, 2 * t + 2 : 2 * t + 10] = (220, 120, 30)
    return frames


def read_mp4(path):
    """Frames a second and ``[T,H,W,3]``."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return float(container.streams.video[0].average_rate), np.stack(frames)


@pytest.mark.parametrize(("height", "width", "stored"), [(84, 84, (84, 84)), (33, 46, (34, 46))])
def test_an_mp4_keeps_number_size_and_order_of_frames(tmp_path, height, width, stored):
    frames = make_frames(7, height, width)
    write_video(tmp_path / "new" / "film.mp4", frames, fps=25)
    fps, seen = read_mp4(tmp_path / "new" / "film.mp4")
    assert fps == 25 and seen.shape == (7, *stored, 3)
    for t in range(7):
        errors = [np.abs(seen[t, :height, :width].astype(int) - frame).mean() for frame in frames]
        assert np.argmin(errors) == t and errors[t] < 8


def test_scale_enlarges_pixels(tmp_path):
    write_video(tmp_path / "film.mp4", make_frames(2, 32, 32), fps=10, scale=3)
    assert read_mp4(tmp_path / "film.mp4")[1].shape == (2, 96, 96, 3)


def test_a_gif_has_the_frames_and_the_speed(tmp_path):
    from PIL import Image

    frames = make_frames(5, 20, 24)
    write_video(tmp_path / "film.gif", frames, fps=20)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 5 and film.info["duration"] == 50
        for t in range(5):
            film.seek(t)
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - frames[t]).max() <= 8


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_failure_leaves_the_old_film_and_nothing_else(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"film.{suffix}"
    write_video(path, make_frames(2, 16, 32), fps=10)
    before = path.read_bytes()

    def broken(unfinished, frames, fps):
        unfinished.write_bytes(b"half")
        raise OSError("no")

    writer = {"mp4": "_write_mp4", "gif": "write_gif"}[suffix]
    monkeypatch.setattr(f"patchail_jax.outputs.video.{writer}", broken)
    with pytest.raises(OSError, match="no"):
        write_video(path, make_frames(3, 16, 32), fps=10)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_another_kind_of_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match="end it with .mp4 or .gif"):
        write_video(tmp_path / "film.avi", make_frames(2, 16, 32), fps=10)
    assert list(tmp_path.iterdir()) == []


def test_what_the_encoder_complains_of_is_raised(tmp_path, monkeypatch):
    monkeypatch.setattr("os.replace", lambda *paths: pytest.fail("a film that was not written"))
    with pytest.raises(OSError, match="PyAV cannot write"):
        write_video(tmp_path / "film.mp4", make_frames(2, 16, 32), fps=-1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (2, 8, 8), (2, 8, 8, 1)])
def test_what_is_no_film_is_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="must be"):
        write_video(tmp_path / "film.gif", np.zeros(shape, np.uint8), fps=10)


def test_floats_are_no_film(tmp_path):
    with pytest.raises(ValueError, match="not float64"):
        write_video(tmp_path / "film.gif", np.zeros((2, 8, 8, 3)), fps=10)
