"""Pictures in numbers of every range, stacked and single: what they become, and what is refused."""

import h5py
import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import import_hdf5, import_rows, import_video, pictures
from patchail_jax.demos.gathering import Request
from patchail_jax.demos.import_video import Cutting
from patchail_jax.errors import UserError

ASKED = {"task": "my_robot", "action_repeat": 2, "memory": 10**8}
RNG = np.random.default_rng(0)
BYTES = RNG.integers(40, 256, size=(6, 16, 16, 3), dtype=np.uint8)


def half_in_bytes():
    mixed = BYTES.astype(np.float32)
    mixed[:3] /= 255
    return mixed


@pytest.mark.parametrize("most", [1 + 1e-6, 1.02, 1.2])
def test_floats_a_little_above_one_are_in_0_to_1(most):
    notes = {}
    got = pictures.to_bytes((BYTES / 255 * most).astype(np.float32), notes)
    np.testing.assert_allclose(got, np.minimum(BYTES * most, 255), atol=1)
    assert any("a little above 1, which are taken for 1" in note for note in notes)


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        (BYTES / 255 * 3.5, "pictures of float64 have values up to 3.5, of a range that is not known"),
        (BYTES.astype(np.uint16) * 16, "pictures of uint16 have values up to 4080, of a range that is not known"),
        (half_in_bytes(), "some pictures have values in 0..1 and others in 0..255"),
        (half_in_bytes()[::-1], "some pictures have values in 0..1 and others in 0..255"),
    ],
)
def test_a_range_that_cannot_be_told_is_refused(numbers, said):
    with pytest.raises(UserError, match=said):
        pictures.to_bytes(numbers, {})


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        (BYTES.astype(np.uint16), BYTES),
        (BYTES.astype(np.uint16) * 256, BYTES),
        (BYTES.astype(np.float32), BYTES),
        (np.minimum(BYTES, 1).astype(np.float32), np.minimum(BYTES, 1)),
        (np.concatenate([BYTES * 0, BYTES / 1.001]), np.concatenate([BYTES * 0, BYTES])),
    ],
)
def test_a_range_that_is_plain_is_kept(numbers, wanted):
    np.testing.assert_allclose(pictures.to_bytes(numbers, {}), wanted, atol=0.5)


def test_an_episode_of_two_shards_has_one_scale(tmp_path):
    for number, (rows, kinds) in enumerate([(BYTES[:3] / 255.0, [0, 1, 1]), (BYTES[3:] / 1.0, [1, 1, 2])]):
        with h5py.File(tmp_path / f"s_{number}.hdf5", "w") as file:
            file["observation"], file["step_type"] = np.moveaxis(rows, 3, 1), np.array(kinds)
    with pytest.raises(UserError, match="values in 0..1 and others in 0..255: bring them all to one range"):
        import_hdf5.read([tmp_path], Request(**ASKED))


def sixteen(folder, *values):
    folder.mkdir()
    for number, value in enumerate(values):
        Image.fromarray(np.full((16, 16), value, np.uint16)).save(folder / f"{number}.png")
    got = import_video.read([folder], Request(**ASKED), Cutting(control_rate=50.0, frames_per_second=50.0))
    return got.frames[0, :, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    ("values", "wanted"),
    [((7, 200, 255), [7, 200, 255]), ((0, 51200, 256), [0, 200, 1]), ((0, 51200, 200), [0, 200, 0])],
)
def test_pictures_of_sixteen_bits_are_read_as_arrays_are(tmp_path, values, wanted):
    assert sixteen(tmp_path / "frames", *values) == wanted


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0, 4095, 4095), "frames: 1.png: pictures of 16 bits have values up to 4095, of a range that is not known"),
        ((200, 51200), "1.png: some pictures have values in 0..255 and others in 16 bits"),
    ],
)
def test_pictures_of_sixteen_bits_of_a_doubtful_range_are_refused(tmp_path, values, said):
    with pytest.raises(UserError, match=said):
        sixteen(tmp_path / "frames", *values)


def stacks(count, *, first=True):
    """Grey frames, ``count`` in a channel each: the first one many times at the start, as after a reset."""
    frames = RNG.integers(256, size=(6, 16, 16), dtype=np.uint8)
    made = np.stack([frames[np.maximum(np.arange(t - count + 1, t + 1), 0)] for t in range(6)])
    return (made if first else np.moveaxis(made, 1, 3)), frames


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("count", [3, 4, 9])
def test_stacks_of_grey_frames_are_no_colours_and_can_be_asked_for(tmp_path, count, first):
    made, frames = stacks(count, first=first)
    np.savez(tmp_path / "a.npz", image=made)
    layout = f"channels_{'first' if first else 'last'}_grey"
    with pytest.raises(UserError, match=rf"are stacks of grey frames, .*: use --layout {layout}$"):
        import_rows.read_npz([tmp_path / "a.npz"], Request(**ASKED))
    got = import_rows.read_npz([tmp_path / "a.npz"], Request(**ASKED, layout=layout))
    np.testing.assert_array_equal(got.frames[0], np.repeat(frames[..., None], 3, axis=3))


def test_stacks_that_begin_with_the_newest_are_refused_too():
    with pytest.raises(UserError, match="turn their channels round, as the first is the newest"):
        pictures.refuse_grey_stacks(stacks(4)[0][:, ::-1], pictures.LAYOUTS["channels_first_depth"])


def colour_stacks(frames, layout, *, newest_first):
    """Two frames in each, one after the other along the channels."""
    pair = [frames[np.maximum(np.arange(6) - 1, 0)], frames]
    made = np.concatenate(pair[::-1] if newest_first else pair, axis=3)
    return np.moveaxis(made, 3, 1) if layout.first else made


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("name", ["channels_first", "channels_last", "channels_first_depth", "channels_last_depth"])
def test_stacks_of_colours_that_begin_with_the_newest_are_refused(tmp_path, name, asked):
    layout = pictures.LAYOUTS[name]
    frames = RNG.integers(256, size=(6, 16, 16, layout.channels), dtype=np.uint8)
    request = Request(**ASKED, layout=name if asked else "")
    np.savez(tmp_path / "a.npz", image=colour_stacks(frames, layout, newest_first=True))
    with pytest.raises(
        UserError, match="are stacks that begin with the newest frame: turn their frames round"
    ) as error:
        import_rows.read_npz([tmp_path / "a.npz"], request)
    assert "\n" not in str(error.value)
    np.savez(tmp_path / "a.npz", image=colour_stacks(frames, layout, newest_first=False))
    np.testing.assert_array_equal(import_rows.read_npz([tmp_path / "a.npz"], request).frames[0], frames[..., :3])


def test_grey_stacks_that_begin_with_the_newest_are_refused_where_they_are_asked_for(tmp_path):
    np.savez(tmp_path / "a.npz", image=stacks(4)[0][:, ::-1])
    with pytest.raises(UserError, match="are stacks that begin with the newest frame"):
        import_rows.read_npz([tmp_path / "a.npz"], Request(**ASKED, layout="channels_first_grey"))


@pytest.mark.parametrize("numbers", [[0, 1, 0, 1, 0, 1], [0] * 6])
def test_stacks_that_slide_both_ways_are_taken(numbers):
    layout = pictures.LAYOUTS["channels_first"]
    pictures.refuse_newest_first(colour_stacks(BYTES[numbers], layout, newest_first=False), layout)


@pytest.mark.parametrize(
    "shown",
    [BYTES, BYTES[[0] * 6], np.repeat(BYTES[..., :1], 3, axis=3), BYTES * 0, BYTES * np.array([0, 0, 1], np.uint8)],
)
def test_colours_are_no_stacks(shown):
    pictures.refuse_grey_stacks(shown, pictures.LAYOUTS["channels_last"])


def test_of_two_actions_the_one_that_led_to_the_picture_is_taken(tmp_path):
    led, taken = np.full((6, 2), -0.5, np.float32), np.full((6, 2), 0.5, np.float32)
    np.savez(tmp_path / "a.npz", image=BYTES, pre_action=led, action=taken)
    got = import_rows.read_npz([tmp_path / "a.npz"], Request(**ASKED))
    assert (got.actions == -0.5).all() and "actions are those of pre_action, not of action" in got.metadata["notes"]
    np.savez(tmp_path / "b.npz", image=BYTES, action=taken)
    assert (import_rows.read_npz([tmp_path / "b.npz"], Request(**ASKED)).actions == 0.5).all()
