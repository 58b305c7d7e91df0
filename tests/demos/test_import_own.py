"""Files of this program converted once more: what is asked for is done or refused, and what they say is checked."""

import json

import numpy as np
import pytest

from patchail_jax.demos import import_own, trajectory
from patchail_jax.demos.form import Demonstration, assemble
from patchail_jax.demos.gathering import Request
from patchail_jax.errors import UserError
from patchail_jax.programs import demos as program


def frames(tmp_path, **metadata):
    one = Demonstration(
        np.random.default_rng(0).integers(0, 255, (5, 16, 16, 3)).astype(np.uint8), np.full((4, 1), 0.5)
    )
    parts = [one._replace(actions=one.actions.astype(np.float32))] * 2
    held = assemble(parts, {"task": "mine", "action_repeat": 2}, name="these")
    path = tmp_path / "frames.npz"
    trajectory.save(path, held)
    if metadata:
        rewrite(path, **metadata)
    return path


def rewrite(path, **metadata):
    """The file with other metadata, which ``save`` would refuse."""
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    told = json.loads(arrays.pop("metadata").item()) | metadata
    np.savez(path, metadata=np.array(json.dumps(told)), **arrays)


def read(path, task="mine", **asked):
    repeat = asked.pop("action_repeat", None)
    request = Request(**{"task": task, "action_repeat": 9, "memory": 10**8, **asked})
    return import_own.read(path, request, repeat=repeat)


REFUSED = [
    ({"action_repeat": 4}, "is recorded at action repeat 2, not 4: leave out --action_repeat"),
    ({"action_repeat": 1}, "is recorded at action repeat 2, not 1: leave out --action_repeat"),
    ({"layout": "THWC"}, "has one layout: leave out --layout"),
]


@pytest.mark.parametrize(("asked", "said"), [*REFUSED, ({"num_demonstrations": 3}, "holds 2 demonstrations, not 3")])
def test_what_cannot_be_done_with_frames_is_one_line(tmp_path, asked, said):
    with pytest.raises(UserError, match=said) as caught:
        read(frames(tmp_path), **asked)
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        *REFUSED,
        ({"num_demonstrations": 4}, "holds 3 demonstrations, not 4"),
        ({"bounds": ((-2.0, 2.0),)}, "holds states.*leave out --action_scale, --action_bounds"),
        ({"flip": "both"}, "holds states.*leave out --flip"),
        ({"image_size": 16}, "holds states.*--image_size"),
    ],
)
def test_what_cannot_be_done_with_states_is_one_line(tmp_path, tiny, asked, said):
    trajectory.save(tmp_path / "states.npz", tiny)
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path / "states.npz", task="cartpole_swingup", **asked)
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_what_the_file_says_of_itself_stays_true(tmp_path):
    path = frames(tmp_path, flipped="vertical", recording_seed=3)
    assert read(path).metadata["recording_seed"] == 3
    turns = {flip: read(path, flip=flip).metadata.get("flipped") for flip in ("none", "vertical", "horizontal", "both")}
    assert turns == {"none": "vertical", "vertical": None, "horizontal": "both", "both": "horizontal"}
    assert read(frames(tmp_path, flipped=["odd"])).metadata.get("flipped") is None


def test_what_can_be_done_is_done(tmp_path, tiny):
    path = frames(tmp_path)
    assert len(read(path).steps) == len(read(path, num_demonstrations=2).steps) == 2
    got = read(path, num_demonstrations=1, bounds=((0.0, 1.0),), image_size=8)
    assert got.frames.shape == (1, 5, 8, 8, 3) and (got.actions == 0).all()
    trajectory.save(tmp_path / "states.npz", tiny)
    got = read(tmp_path / "states.npz", task="cartpole_swingup", num_demonstrations=3, actions=False)
    assert len(got.steps) == 3 and got.actions is None


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (
            {"lossy": True, "video_size": "big"},
            "'video_size' in 'metadata' must be a whole number of pixels, not 'big'",
        ),
        ({"video_size": True}, "'video_size' in"),
        ({"video_size": None}, "'video_size' in"),
        ({"video_size": -1}, "'video_size' in"),
        ({"notes": 3}, "'notes' in 'metadata' must be a list of strings, not 3"),
        ({"notes": ["good", {"a": 1}]}, "'notes' in"),
        ({"notes": "one"}, "'notes' in"),
        ({"steps_per_second": "x"}, "'steps_per_second' in 'metadata' must be a number from 1e-06 to 1e.09, not 'x'"),
        ({"steps_per_second": 0}, "'steps_per_second' in"),
        ({"steps_per_second": float("nan")}, "'steps_per_second' in"),
        ({"steps_per_second": 10**400}, "'steps_per_second' in"),
        ({"steps_per_second": True}, "'steps_per_second' in"),
        ({"steps_per_second": 5e-324}, "must be a number from 1e-06 to 1e.09, not 5e-324"),
        ({"steps_per_second": 1e300}, "must be a number from 1e-06 to 1e.09, not 1e.300"),
    ],
)
def test_what_a_file_says_of_itself_is_checked_by_every_reader(tmp_path, metadata, said):
    path = frames(tmp_path, **metadata)
    for verb in (["inspect", str(path)], ["convert", "npz", str(path), str(tmp_path / "out.npz"), "--task", "mine"]):
        with pytest.raises(UserError, match=said) as caught:
            program.main(verb)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300 + len(str(path))
    assert not (tmp_path / "out.npz").exists()


def test_what_an_import_says_is_kept(tmp_path):
    said = {"lossy": True, "video_size": 64, "steps_per_second": 12.5, "notes": ["one", "two"]}
    told = read(frames(tmp_path, **said), num_demonstrations=1).metadata
    assert told.items() >= said.items()
    assert read(frames(tmp_path, video_size=0, notes=[], steps_per_second=10)).metadata["steps_per_second"] == 10
