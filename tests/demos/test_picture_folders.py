"""Folders of pictures whose names do not say which comes first are refused, and damaged pictures named."""

import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import import_video
from patchail_jax.demos.gathering import Request
from patchail_jax.demos.import_video import Cutting
from patchail_jax.errors import UserError


def read(folder):
    cutting = Cutting(control_rate=50.0, frames_per_second=50.0)
    return import_video.read([folder], Request("my_robot", 2, 10**9), cutting).frames[0, :, 0, 0, 0].tolist()


def write(folder, names):
    for number, name in enumerate(names):
        Image.fromarray(np.full((16, 16, 3), number, np.uint8)).save(folder / name)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["frame_1.png", "frame_2.png", "frame_001.png"], "frame_001.png and frame_1.png have one number"),
        (["f1.jpg", "f2.jpg", "f2.jpeg"], "f2.jpeg and f2.jpg have one number"),
        (["f1.png", "f1.PNG"], "f1.PNG and f1.png have one number"),
        ([f"0.{number}.png" for number in range(1, 12)], "names such as 0.10.png may be decimal numbers or counts"),
        (["one.png", "two.png", "three.png"], "one and two have no numbers, which would say what comes first: call"),
        (["t_9.5.png", "t_10.25.png"], "names such as t_10.25.png may be decimal numbers or counts"),
    ],
)
def test_pictures_of_no_order_are_refused(tmp_path, names, said):
    write(tmp_path, names)
    with pytest.raises(UserError, match=said):
        read(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        [f"frame_{number}.png" for number in range(12)],
        [f"v1.2_frame_{number}.png" for number in range(12)],
        [f"{number / 50:.2f}.png" for number in range(12)],
        [f"take 1.{number:02d}.png" for number in range(12)],
    ],
)
def test_pictures_whose_order_is_plain_are_taken(tmp_path, names):
    write(tmp_path, names)
    assert read(tmp_path) == list(range(12))


@pytest.mark.parametrize("content", [lambda b: b[:60], lambda b: b"", lambda b: b"GIF89a" + b])
def test_a_damaged_picture_is_named(tmp_path, content):
    write(tmp_path, [f"shot_{number}.png" for number in range(7, 12)])
    path = tmp_path / "shot_9.png"
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(UserError, match=r": shot_9.png: cannot be read") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
