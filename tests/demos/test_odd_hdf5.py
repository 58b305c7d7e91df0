"""Files of rows and of robomimic that are not what they look like: half written, contradictory, of two kinds."""

import h5py
import numpy as np
import pytest

from patchail_jax.demos import import_hdf5, import_rows
from patchail_jax.demos.gathering import Request
from patchail_jax.errors import UserError

RNG = np.random.default_rng(0)
LENGTH = 6
ASKED = {"task": "my_robot", "action_repeat": 2, "memory": 10**8}


def pictures(count=LENGTH, seed=0):
    return np.random.default_rng(seed).integers(200, 256, size=(count, 8, 8, 3), dtype=np.uint8)


def read(*paths, **asked):
    return import_hdf5.read(paths, Request(**{**ASKED, **asked}))


def notes(trajectories):
    return "\n".join(trajectories.metadata.get("notes", []))


def robomimic(path, change=lambda group, number: None):
    with h5py.File(path, "w") as file:
        for number in range(3):
            group = file.create_group(f"data/demo_{number}")
            group["obs/camera"], group["next_obs/camera"] = pictures(seed=number), pictures(seed=number + 10)
            group["actions"], group["rewards"] = np.zeros((LENGTH, 2), np.float32), np.ones(LENGTH)
            change(group, number)
    return path


def again(group, name, data, **how):
    del group[name]
    return group.create_dataset(name, data=data, **how)


def half(name, shape, **how):
    """Of demo_1 a data set that was made and written in part."""

    def change(group, number):
        if number == 1:
            del group[name]
            made = group.create_dataset(name, shape, np.float32 if len(shape) < 4 else np.uint8, **how)
            if how:
                made[:2] = 1

    return change


FOUR = (LENGTH, 8, 8, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (half("obs/camera", FOUR, chunks=(1, 8, 8, 3), compression="gzip"), "demo_1/obs/camera: 2 of its 6 parts were"),
        (half("obs/camera", FOUR, chunks=(1, 8, 4, 3)), "demo_1/obs/camera: 4 of its 12 parts were written"),
        (half("obs/camera", FOUR), "demo_1/obs/camera: 0 of its 1 parts were written"),
        (half("next_obs/camera", FOUR), "demo_1/next_obs/camera: 0 of its 1 parts were written"),
        (half("actions", (LENGTH, 2), chunks=(1, 2)), "demo_1/actions: 2 of its 6 parts were written"),
        (half("rewards", (LENGTH,)), "demo_1/rewards: 0 of its 1 parts were written"),
    ],
)
def test_what_was_never_written_is_not_read_as_zeros(tmp_path, change, said):
    with pytest.raises(UserError, match=said) as caught:
        read(robomimic(tmp_path / "a.hdf5", change))
    assert "\n" not in str(caught.value)
    assert len(read(tmp_path / "a.hdf5", num_demonstrations=1).steps) == 1


def test_zeros_that_were_written_are_zeros_and_actions_that_are_left_out_may_be_missing(tmp_path):
    def change(group, number):
        again(group, "rewards", np.zeros(LENGTH), chunks=(2,))
        half("actions", (LENGTH, 2))(group, number)

    with pytest.raises(UserError, match="actions: 0 of its 1"):
        read(robomimic(tmp_path / "a.hdf5", change))
    assert read(tmp_path / "a.hdf5", actions=False).returns.tolist() == [0, 0, 0]


def test_a_count_that_contradicts_the_pictures_is_said(tmp_path):
    def change(group, number):
        group.attrs["num_samples"] = LENGTH if number else 100

    said = notes(read(robomimic(tmp_path / "a.hdf5", change)))
    assert said == "demonstration 0: num_samples is 100, and there are pictures of 6"

    def shorten(group, number):
        if number == 1:  # which is left out, and its count with it
            del group["next_obs"]
            again(group, "obs/camera", pictures(1))
            group.attrs["num_samples"] = LENGTH

    assert "num_samples" not in notes(read(robomimic(tmp_path / "b.hdf5", shorten), actions=False))


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (lambda held: held.astype(np.float32) / 255, r"pictures of float32\[8, 8, 3\], and obs of uint8\[8, 8, 3\]"),
        (lambda held: held.transpose(0, 3, 1, 2), r"pictures of uint8\[3, 8, 8\], and obs of uint8\[8, 8, 3\]"),
        (lambda held: held, None),
    ],
)
def test_the_last_picture_is_of_the_kind_of_the_others(tmp_path, last, said):
    source = robomimic(tmp_path / "a.hdf5", lambda g, n: again(g, "next_obs/camera", last(pictures())))
    if said is None:
        assert read(source).frames.shape[1] == LENGTH + 1
        return
    with pytest.raises(UserError, match=rf"demonstration 0 \(demo_0\): next_obs has {said}: delete"):
        read(source)


def test_the_last_picture_is_of_the_scale_of_the_others(tmp_path):
    def change(group, number):
        again(group, "obs/camera", pictures().astype(np.float32))
        again(group, "next_obs/camera", pictures().astype(np.float32) / 255)

    with pytest.raises(UserError, match=r"some pictures have values in 0..1 and others in 0..255"):
        read(robomimic(tmp_path / "a.hdf5", change))


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
@pytest.mark.parametrize("dark", [False, True])
def test_pictures_of_sixteen_bits_have_one_scale(tmp_path, kind, dark):
    def change(group, number):
        del group["next_obs"]
        again(group, "obs/camera", (pictures().astype(kind) * (1 if dark and not number else 257)).astype(kind))

    source = robomimic(tmp_path / "a.hdf5", change)
    if dark:
        with pytest.raises(UserError, match=r"demonstration 1 \(demo_1\): some .* in 0..255 and others in 16 bits"):
            read(source)
        return
    got = read(source)
    np.testing.assert_array_equal(got.frames[0], pictures())
    assert "16-bit pictures are reduced to 8 bits" in notes(got)


def test_a_black_demonstration_has_any_scale(tmp_path):
    def change(group, number):
        del group["next_obs"]
        again(group, "obs/camera", pictures().astype("u2") * (0 if number == 1 else 257))

    assert read(robomimic(tmp_path / "a.hdf5", change)).frames.max(axis=(1, 2, 3, 4)).tolist()[1] == 0


def test_a_file_of_both_forms_says_which_was_taken(tmp_path):
    with h5py.File(robomimic(tmp_path / "a.hdf5"), "a") as file:
        file["observation"], file["step_type"] = pictures(3), [0, 1, 2]
    got = read(tmp_path / "a.hdf5")
    assert len(got.steps) == 3 and "robomimic's data are taken, and not the rows" in notes(got)


@pytest.mark.parametrize("vector", ["observation", "image", None])
def test_of_two_columns_of_observations_the_pictures_are_taken_and_named(tmp_path, vector):
    columns = {"observation": pictures(seed=1), "image": pictures(seed=2)}
    if vector:
        columns[vector] = np.zeros((LENGTH, 24))
    np.savez(tmp_path / "a.npz", **columns, is_first=np.arange(LENGTH) == 0, is_last=np.arange(LENGTH) == LENGTH - 1)
    got = import_rows.read_npz([tmp_path / "a.npz"], Request(**ASKED))
    taken, other = ("image", "observation") if vector == "observation" else ("observation", "image")
    np.testing.assert_array_equal(got.frames[0], columns[taken])
    assert notes(got) == f"pictures are those of {taken}, not of {other}"


def shards(folder, cuts, *, missing=(), lengths=(LENGTH,) * 6, name="shard_{}.hdf5"):
    """Rows of episodes in files that are cut at ``cuts``."""
    marks = np.concatenate([[0, *[1] * (length - 2), 2] for length in lengths])
    for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(marks)], strict=True)):
        if number in missing:
            continue
        with h5py.File(folder / name.format(number), "w") as file:
            file["observation"], file["step_type"] = pictures(len(marks))[start:end], marks[start:end]
    return folder


CUTS = (7, 14, 21, 28)  # each in the middle of an episode


@pytest.mark.parametrize("missing", [1, 2, 3])
@pytest.mark.parametrize("name", ["shard_{}.hdf5", "{}-of-5.hdf5"])
def test_an_episode_is_not_put_together_over_a_file_that_is_missing(tmp_path, missing, name):
    assert len(read(shards(tmp_path, CUTS, name=name)).steps) == 6
    (tmp_path / name.format(missing)).unlink()
    with pytest.raises(UserError, match=f"continues the episode of row .*{missing - 1}.*: is a file missing"):
        read(tmp_path)


def test_of_two_files_the_second_follows_the_first(tmp_path):
    shards(tmp_path, CUTS, missing=(1, 3, 4))
    with pytest.raises(UserError, match="shard_2.hdf5: continues the episode of row 6 of shard_0.hdf5"):
        read(tmp_path)
    with pytest.raises(UserError, match="shard_1.hdf5: continues the episode"):
        shards(tmp_path, CUTS)
        read(tmp_path / "shard_2.hdf5", tmp_path / "shard_1.hdf5")


def test_a_missing_file_between_two_episodes_glues_nothing(tmp_path):
    assert len(read(shards(tmp_path, (6, 12, 18), missing=(1,))).steps) == 5


@pytest.mark.parametrize("cuts", [CUTS, (8,), (3, 10, 26)])
@pytest.mark.parametrize("last", [False, True])
def test_files_that_are_named_by_their_first_or_last_rows_follow_each_other(tmp_path, cuts, last):
    for number, rows in enumerate((*cuts, 36) if last else (0, *cuts)):
        shards(tmp_path, cuts, missing={*range(len(cuts) + 1)} - {number}, name=f"rows_{rows}.hdf5")
    assert len(read(tmp_path).steps) == 6


@pytest.mark.parametrize(("lengths", "odd"), [((6, 6, 6, 4, 6, 6), True), ((6, 6, 5, 4, 6, 6), False)])
def test_a_joined_episode_of_another_length_than_all_whole_ones_is_noted(tmp_path, lengths, odd):
    said = notes(read(shards(tmp_path, (20,), lengths=lengths)))
    assert ("demonstration 3 is put together from several files and has 4 pictures, and all" in said) == odd


def test_one_file_is_not_taken_twice(tmp_path):
    shards(tmp_path, CUTS)
    with pytest.raises(UserError, match="shard_2.hdf5: is given twice"):
        read(tmp_path, tmp_path / "shard_2.hdf5")
