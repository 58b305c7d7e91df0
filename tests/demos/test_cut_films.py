"""Films that were cut short, or put together from others, are not taken for whole ones."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import import_video, video_frames
from patchail_jax.demos.gathering import Request
from patchail_jax.demos.import_video import Cutting
from patchail_jax.errors import UserError
from tests.films import film

NOISE = np.random.default_rng(0).integers(256, size=(40, 32, 32, 3), dtype=np.uint8)


def read(*paths, **cutting):
    return import_video.read(paths, Request("my_robot", 2, 10**9, image_size=16), Cutting(control_rate=50.0, **cutting))


def notes(trajectories):
    return "\n".join(trajectories.metadata.get("notes", []))


def moved_to_the_front(path):
    """A film whose index comes first, as those of the web."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=50)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for picture in NOISE:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


MAKERS = {
    ".avi": lambda path: film(path, NOISE, 50),
    ".mp4": moved_to_the_front,
    ".webm": lambda path: film(path, NOISE, 50),
}


@pytest.mark.parametrize("kept", [0.5, 0.75])
@pytest.mark.parametrize("suffix", MAKERS)
def test_a_film_that_is_cut_says_how_long_it_was(tmp_path, suffix, kept):
    source = MAKERS[suffix](tmp_path / f"film{suffix}")
    assert notes(read(source)) == ""
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * kept)])
    assert "of the 0.80 s that it declares: is it cut short?" in notes(read(source))
    if suffix != ".webm":  # which counts no frames
        assert "of the 40 frames that it declares" in notes(read(source, frames_per_second=50.0))


def test_a_film_without_its_last_frames_says_so(tmp_path):
    source = MAKERS[".mp4"](tmp_path / "film.mp4")
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * 0.95)])
    assert "of the 0.80 s that it declares" in notes(read(source))


def test_where_reading_ends_is_said_of_the_length_that_is_declared(tmp_path, monkeypatch):
    source = MAKERS[".mp4"](tmp_path / "film.mp4")
    source.write_bytes(source.read_bytes()[:-2000])
    real = video_frames.Film._frames
    monkeypatch.setattr(video_frames.Film, "_frames", lambda self, start: itertools.islice(real(self, start), 20))
    assert "nothing can be read after 0.38 s of 0.80 s" in notes(read(source))


def test_frames_that_an_edit_hides_are_not_missing(tmp_path):
    with av.open(str(tmp_path / "edited.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=50)
        stream.width = stream.height = 32
        for number, picture in enumerate(NOISE):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number - 20, Fraction(1, 50)  # those before 0 are decoded and not shown
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    got = read(tmp_path / "edited.mp4")
    assert got.steps.tolist() == [19] and notes(got) == ""


def of_two_sizes(path, width):
    """Frames that become ``width`` wide half way."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=50)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuvj420p"
        other = av.CodecContext.create("mjpeg", "w")
        other.width, other.height, other.pix_fmt, other.time_base = width, 32, "yuvj420p", Fraction(1, 50)
        for number in range(20):
            encoder, wide = (stream, 32) if number < 10 else (other, width)
            frame = av.VideoFrame.from_ndarray(np.zeros((32, wide, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 50)
            for packet in encoder.encode(frame):
                packet.stream, packet.time_base = stream, Fraction(1, 50)
                packet.pts = packet.dts = number
                container.mux(packet)
    return path


def test_a_film_whose_size_changes_is_refused_where_it_does(tmp_path):
    source = of_two_sizes(tmp_path / "film.mkv", 48)
    with pytest.raises(UserError, match=r"film.mkv: its pictures change from 32x32 to 48x32 at 0.20 s: cut it there"):
        read(source)
    assert read(source, end=0.2).steps.tolist() == [9]
    assert read(of_two_sizes(tmp_path / "same.mkv", 32)).steps.tolist() == [19]


def test_one_film_is_not_taken_twice(tmp_path):
    source = film(tmp_path / "film.mp4", NOISE, 50)
    (tmp_path / "link.mp4").symlink_to(source)
    for twice in ([source, source], [source, tmp_path / "link.mp4"]):
        with pytest.raises(UserError, match=f"{twice[1].name}: is given twice"):
            read(*twice)
    other = film(tmp_path / "other.mp4", NOISE, 50)
    assert len(read(source, other).steps) == 2


def test_a_film_that_is_cut_to_its_middle_says_so(tmp_path):
    source = film(tmp_path / "wide.mp4", np.zeros((10, 32, 48, 3), np.uint8), 50)
    assert "pictures of 48x32 are cut to their middle square" in notes(read(source))
    assert "middle square" not in notes(read(source, crop=(0, 0, 32)))


@pytest.mark.parametrize("apart", [True, False])
def test_a_picture_that_stands_for_a_film_is_no_frame_of_it(tmp_path, apart):
    first, *rest = (Image.fromarray(np.full((32, 32, 3), 10 * number, np.uint8)) for number in range(12))
    first.save(tmp_path / "film.apng", "PNG", save_all=True, append_images=rest, duration=20, default_image=apart)
    assert read(tmp_path / "film.apng").frames[0, :, 0, 0, 0].tolist() == list(range(10 * apart, 120, 10))
