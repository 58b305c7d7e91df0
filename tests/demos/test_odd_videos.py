"""Videos that people really have: names, clocks, turns, colours, covers and stray files."""

import itertools
import struct

import av
import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import import_video, pictures, video_frames
from patchail_jax.demos.gathering import Request
from patchail_jax.demos.import_video import Cutting
from patchail_jax.errors import UserError
from patchail_jax.programs.footage import read_film
from tests.films import film, sound

GREYS = np.linspace(20, 220, 40).round()


def clip(count=40, size=32):
    return np.broadcast_to(GREYS[:count, None, None, None], (count, size, size, 3)).astype(np.uint8)


def read(path, *, size=16, rate=50.0, flip="none", **cutting):
    request = Request("my_robot", 2, 10**9, image_size=size, flip=flip)
    return import_video.read([path], request, Cutting(control_rate=rate, **cutting))


def shown(frames):
    return np.abs(frames[:, 4:12, 4:12].mean(axis=(1, 2, 3))[:, None] - GREYS).argmin(axis=1).tolist()


def notes(trajectories):
    return "\n".join(trajectories.metadata.get("notes", []))


@pytest.mark.parametrize(
    "name",
    [
        "Stream 1 Video: 5 fps.mp4", "with space.mp4", "größe_視頻.mp4", "100%d.mp4", "it's \"quoted\".mp4", "-y.mp4",
        "pipe:0.mp4", "UPPER.MP4", "no_suffix",
    ],
)  # fmt: skip
def test_no_name_means_anything(tmp_path, name):
    film(tmp_path / "plain.mp4", clip(), 50).rename(tmp_path / name)
    assert shown(read(tmp_path / name).frames[0]) == list(range(40))
    assert len(read_film(tmp_path / name, image_size=16)) == 40


def test_frames_without_a_time_each_are_counted(tmp_path, monkeypatch):
    source = film(tmp_path / "film.avi", clip(), 50)
    monkeypatch.setattr(video_frames.Film, "_stamps", lambda *_: (40, np.arange(20)))
    with pytest.raises(UserError, match="does not say when its frames are shown: use --frames_per_second"):
        read(source)
    assert shown(read(source, frames_per_second=50.0).frames[0]) == list(range(40))


@pytest.mark.parametrize("suffix", [".ts", ".mov", ".m4v"])
def test_more_containers(tmp_path, suffix):
    source = film(tmp_path / f"film{suffix}", clip(), 50)
    assert shown(read(source).frames[0]) == list(range(40))
    assert shown(read(source, start=0.2, end=0.5).frames[0]) == list(range(10, 25))


def test_a_thousand_frames_a_second_are_a_thousand(tmp_path):
    source = film(tmp_path / "slow_motion.mp4", clip(), 1000)
    assert video_frames.open_clip(source, frames_per_second=None).rate == pytest.approx(1000, rel=1e-3)
    assert shown(read(source, rate=100.0).frames[0]) == [0, 10, 20, 30]


def test_of_a_recording_with_pauses_each_step_shows_what_was_on_the_screen(tmp_path):
    """Ten frames 20 ms apart, a pause of a second, and ten more: what a recorder of a screen writes."""
    times = [*np.arange(10) / 50, *(1.18 + np.arange(10) / 50)]
    source = film(tmp_path / "screen.mp4", clip(20), 50, times=times)
    got = read(source)
    assert shown(got.frames[0]) == [*range(9), *[9] * 50, *range(10, 20)]
    assert "0.02 to 1 s apart" in notes(got)
    assert len(read_film(source, image_size=16)) == 20


@pytest.mark.parametrize(("rate", "control"), [(30000 / 1001, 30.0), (29, 29.0), (24000 / 1001, 24.0)])
def test_rates_of_television_are_whole_ones(tmp_path, rate, control):
    assert shown(read(film(tmp_path / "film.mp4", clip(), rate), rate=control).frames[0]) == list(range(40))


def test_a_start_far_in_is_reached_by_the_index_and_shows_the_same(tmp_path, monkeypatch):
    frames = np.tile(clip(), (10, 1, 1, 1))
    source = film(tmp_path / "long.mp4", frames, 25, gop_size=10)
    whole = read(source, rate=25.0).frames[0]
    read_all = read(source, rate=25.0, start=14.2, end=15.0).frames[0]
    np.testing.assert_array_equal(read_all, whole[355:375])
    # A container whose index leads behind the wanted time is read from its beginning.
    monkeypatch.setattr(video_frames, "_SKIPPED", 5.0)
    monkeypatch.setattr(video_frames.Film, "_seconds", later_once(video_frames.Film._seconds))
    np.testing.assert_array_equal(read(source, rate=25.0, start=14.2, end=15.0).frames[0], whole[355:375])


def later_once(seconds):
    calls = []

    def told(self, frame):
        calls.append(frame)
        return seconds(self, frame) + (100.0 if len(calls) == 1 else 0.0)

    return told


def test_a_video_is_split_into_demonstrations(tmp_path):
    source = film(tmp_path / "many.mp4", clip(), 50)
    got = read(source, split=(0.2, 0.5), start=0.1)
    assert got.lengths.tolist() == [4, 14, 14]
    for d, (start, end) in enumerate([(5, 10), (10, 25), (25, 40)]):
        assert shown(got.demonstration(d).observed) == list(range(start, end))


@pytest.mark.parametrize(
    ("cutting", "said"),
    [
        ({"start": -1.0}, "each later than the one before, not -1"),
        ({"start": np.nan}, "each later than the one before, not nan"),
        ({"split": (np.nan,)}, "each later than the one before, not 0, nan"),
        ({"start": 0.5, "end": 0.2}, "each later than the one before, not 0.5, 0.2"),
        ({"split": (0.5, 0.2)}, "each later than the one before"),
        ({"split": (0.5, 0.79)}, "shows 1 agent steps from 0.79 s on"),
        ({"split": (5.0,)}, "shows 0 agent steps from"),
    ],
)
def test_times_that_are_not_in_the_video_are_one_line(tmp_path, cutting, said):
    with pytest.raises(UserError, match=said):
        read(film(tmp_path / "film.mp4", clip(), 50), **cutting)


def test_sound_without_a_picture_is_said(tmp_path):
    with pytest.raises(UserError, match="song.mp4: holds no video, only audio"):
        read(sound(tmp_path / "song.mp4"))


def with_cover(path, *, video):
    """A cover picture as the first stream, and a video behind it or none."""
    with av.open(str(path), "w", format="mp4") as container:
        cover = container.add_stream("png", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt = "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = container.add_stream("libx264" if video else "aac", rate=50 if video else 8000)
        if video:
            stream.width = stream.height = 32
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), (255, 0, 0), np.uint8))))
        for frame in clip() if video else ():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux([*cover.encode(), *(stream.encode() if video else ())])
    return path


def test_a_cover_is_not_the_video(tmp_path):
    source = with_cover(tmp_path / "covered.mp4", video=True)
    with av.open(str(source)) as container:
        assert len(container.streams.video) == 2
    assert shown(read(source).frames[0]) == list(range(40)) and len(read_film(source, image_size=16)) == 40
    with pytest.raises(UserError, match="holds no video, only a cover picture"):
        read(with_cover(tmp_path / "song.mp4", video=False))


def turned(path, matrix):
    """The film with another display matrix in its track's header, as phones write it."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", data, at) == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, *matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [
        ((0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30), 3),
        ((-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30), 2),
        ((0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30), 1),
    ],
)
def test_a_video_of_a_turned_phone_is_upright(tmp_path, matrix, turns):
    corner = np.full((5, 32, 32, 3), 40, np.uint8)
    corner[:, :16, :16] = 220
    plain = read(film(tmp_path / "film.mp4", corner, 50)).frames[0]
    seen = read(turned(tmp_path / "film.mp4", matrix)).frames[0]
    np.testing.assert_array_equal(seen, np.rot90(plain, turns, axes=(1, 2)))


@pytest.mark.parametrize("kind", ["bt2020", "smpte2084", "arib-std-b67"])
def test_hdr_is_noted(tmp_path, kind):
    flags = {"bt2020": {"color_primaries": 9}, "smpte2084": {"color_trc": 16}, "arib-std-b67": {"color_trc": 18}}[kind]
    assert f"HDR colours ({kind})" in notes(read(film(tmp_path / "hdr.mp4", clip(), 50, **flags)))


def test_what_is_transparent_is_black_and_noted(tmp_path):
    white = np.full((5, 32, 32, 3), 255, np.uint8)
    got = read(film(tmp_path / "alpha.mov", white, 50, codec="qtrle", alpha=0))
    assert got.frames.max() == 0 and "laid on black" in notes(got)
    got = read(film(tmp_path / "opaque.mov", white, 50, codec="qtrle", alpha=255))
    assert got.frames.min() == 255 and not notes(got)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".bmp"])
def test_folders_of_pictures(tmp_path, suffix):
    for number, frame in enumerate(clip(12)):
        Image.fromarray(frame).save(tmp_path / f"frame_{number}{suffix}")
    (tmp_path / "._frame_0.png").write_bytes(b"what macOS leaves behind")
    (tmp_path / ".hidden.gif").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("")
    got = read(tmp_path, frames_per_second=50.0)
    assert shown(got.frames[0]) == list(range(12))
    assert bool(got.metadata.get("lossy")) == (suffix in (".jpg", ".jpeg", ".webp"))
    Image.fromarray(frame).save(tmp_path / "cover.tiff" if suffix == ".png" else tmp_path / "cover.png")
    if suffix != ".png":
        with pytest.raises(UserError, match="pictures of several kinds"):
            read(tmp_path, frames_per_second=50.0)


def test_pictures_of_several_sizes_are_refused(tmp_path):
    for number, size in enumerate((32, 32, 24)):
        Image.fromarray(clip(1, size)[0]).save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match="2.png: pictures of one video are of one size, not 32x32 and 24x24"):
        read(tmp_path, frames_per_second=50.0)


def test_digits_of_other_scripts_are_letters(tmp_path):
    for name in ("٣²2.png", "٣²10.png", "٣²1.png"):
        Image.fromarray(clip(1)[0]).save(tmp_path / name)
    assert read(tmp_path, frames_per_second=50.0).frames.shape[1] == 3


@pytest.mark.parametrize("suffix", [".webp", ".apng", ".gif"])
def test_moving_pictures(tmp_path, suffix):
    first, *rest = (Image.fromarray(frame) for frame in clip(12))
    options = {"lossless": True} if suffix == ".webp" else {}
    kind = "PNG" if suffix == ".apng" else None
    first.save(tmp_path / f"film{suffix}", kind, save_all=True, append_images=rest, duration=20, **options)
    assert shown(read(tmp_path / f"film{suffix}").frames[0]) == list(range(12))


def test_one_picture_is_no_video(tmp_path):
    Image.fromarray(clip(1)[0]).save(tmp_path / "one.gif")
    with pytest.raises(UserError, match="one picture, which does not move"):
        read(tmp_path / "one.gif")
    with pytest.raises(UserError, match="has 1 frame:"):
        read(film(tmp_path / "one.mp4", clip(1), 50))


def saved(tmp_path, picture):
    for number in range(3):
        picture.save(tmp_path / f"{number}.png")
    return read(tmp_path, frames_per_second=50.0)


def test_sixteen_bits_of_grey_become_eight(tmp_path):
    ramp = np.linspace(0, 65535, 32, dtype=np.uint16)[None].repeat(32, axis=0)
    got = saved(tmp_path, Image.fromarray(ramp))
    wanted = (ramp >> 8).reshape(16, 2, 16, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(got.frames[0, 0, :, :, 0], wanted, atol=1)
    assert "16-bit pictures" in notes(got)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB with a transparent colour"])
def test_transparent_pictures_do_not_show_what_they_hide(tmp_path, mode):
    hidden = Image.fromarray(np.full((32, 32, 4), (200, 100, 50, 0), np.uint8), "RGBA")
    if mode.startswith("RGB "):
        for number in range(3):
            hidden.convert("RGB").save(tmp_path / f"{number}.png", transparency=(200, 100, 50))
        got = read(tmp_path, frames_per_second=50.0)
    elif mode == "P":
        indexed = Image.new("P", (32, 32), 1)
        indexed.putpalette([0, 0, 0, 200, 100, 50])
        for number in range(3):
            indexed.save(tmp_path / f"{number}.png", transparency=1)
        got = read(tmp_path, frames_per_second=50.0)
    else:
        got = saved(tmp_path, hidden.convert(mode))
    assert got.frames.max() == 0 and "laid on black" in notes(got)


def test_half_transparent_is_half_as_bright():
    said = {}
    picture = np.full((2, 2, 4), (200, 100, 50, 128), np.uint8)
    np.testing.assert_array_equal(pictures.on_black(picture, said)[0, 0], [100, 50, 25])
    assert said


@pytest.mark.parametrize(("flip", "axes"), [("vertical", (1,)), ("horizontal", (2,)), ("both", (1, 2))])
def test_flips(tmp_path, flip, axes):
    picture = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    plain = saved(tmp_path, Image.fromarray(picture))
    got = read(tmp_path, frames_per_second=50.0, flip=flip)
    np.testing.assert_array_equal(got.frames[0], np.flip(plain.frames[0], axes))
    assert got.metadata["flipped"] == flip


def test_what_cannot_be_read_at_the_end_is_not_shown_as_a_still(tmp_path, monkeypatch):
    source = film(tmp_path / "film.mp4", clip(), 50)
    real = video_frames.Film._frames
    monkeypatch.setattr(video_frames.Film, "_frames", lambda self, start: itertools.islice(real(self, start), 20))
    got = read(source)
    assert shown(got.frames[0]) == list(range(20))
    assert "nothing can be read after 0.38 s of 0.80 s" in notes(got)
