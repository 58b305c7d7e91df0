"""Sizes are changed by areas, and behind the look of a video its traces are hard to find."""

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from patchail_jax.demos import import_video, render, trajectory
from patchail_jax.demos.gathering import Request
from patchail_jax.envs.factory import FactoryEnvironment
from patchail_jax.envs.look import VideoLook, drawn_size, square, video_look
from patchail_jax.envs.outcome import Outcome
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError
from patchail_jax.outputs.video import write_video


def test_the_middle_square_is_reduced_to_the_means_of_areas():
    frame = np.random.default_rng(0).integers(256, size=(6, 10, 3), dtype=np.uint8)
    means = frame[:, 2:8].reshape(3, 2, 3, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(square(frame, 3), means, atol=1.01)
    np.testing.assert_array_equal(square(frame.swapaxes(0, 1), 6), frame.swapaxes(0, 1)[2:8])
    with pytest.raises(UserError, match="frames of 10x6 pixels are too small for an image size of 7"):
        square(frame, 7)


def test_the_look_reduces_and_is_the_same_for_the_same_frame():
    frame = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    looked = video_look(frame, 16)
    assert looked.shape == (16, 16, 3) and looked.dtype == np.uint8
    np.testing.assert_array_equal(looked, video_look(frame.copy(), 16))


def test_an_environment_shows_its_frames_through_the_look():
    class Fixed:
        action_size = 3
        renderer = "a fake's"
        outcome = Outcome(np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8), 0.5, 0.0, True)

        def reset(self, seed):
            return self.outcome._replace(reward=float(seed))

        def step(self, action):
            return self.outcome

        def recorded(self):
            return np.arange(2.0)

    environment = VideoLook(Fixed(), image_size=8)
    assert environment.renderer == "a fake's"
    assert environment.action_size == 3 and environment.recorded().tolist() == [0.0, 1.0]
    for seen, rest in ((environment.reset(7), (7.0, 0.0, True)), (environment.step(None), (0.5, 0.0, True))):
        np.testing.assert_array_equal(seen.frame, video_look(Fixed.outcome.frame, 8))
        assert seen[1:] == rest


@pytest.mark.parametrize(
    ("look", "look_size", "drawn"), [("none", 0, 84), ("none", 200, 84), ("video", 0, 84), ("video", 200, 200)]
)
def test_what_is_drawn_before_the_look(look, look_size, drawn):
    assert drawn_size(image_size=84, look=look, look_size=look_size) == drawn


@pytest.mark.parametrize("wrong", [{"look": "film", "look_size": 0}, {"look": "video", "look_size": 40}])
def test_wrong_looks_are_one_line(wrong):
    with pytest.raises(UserError, match="config.env.look"):
        drawn_size(image_size=84, **wrong)


def spectrum(frames):
    """How strong each frequency is in squares of 8x8 pixels, of brightness and both colours: ``[T,45]`` logarithms."""
    pixels = np.stack([np.asarray(Image.fromarray(frame).convert("YCbCr"), float)[:80, :80] for frame in frames])
    squares = pixels.reshape(len(frames), 10, 8, 10, 8, 3).transpose(0, 1, 3, 5, 2, 4)
    strengths = np.abs(dctn(squares, axes=(-2, -1))).mean(axis=(1, 2))
    frequency = np.add.outer(np.arange(8), np.arange(8))
    return np.log(np.stack([strengths[..., frequency == f].mean(axis=-1) for f in range(15)], axis=-1) + 1e-2).reshape(
        len(frames), 45
    )


def gap(one, other):
    """How far apart two sets of frames are, in standard deviations, the mean over frequencies; and the share of frames
    that the best single frequency puts on the right side."""
    first, second = spectrum(one), spectrum(other)
    difference = first.mean(axis=0) - second.mean(axis=0)
    apart = np.abs(difference) / np.concatenate([first, second]).std(axis=0)
    middle = (first.mean(axis=0) + second.mean(axis=0)) / 2
    right = ((first - middle) * difference > 0).mean(axis=0) + ((second - middle) * difference < 0).mean(axis=0)
    return apart.mean(), right.max() / 2


@pytest.mark.parametrize("scale", [1, 2])
def test_the_look_hides_the_traces_of_a_video(tmp_path, scale):
    # Two experts in the same simulator: what tells them apart is the film alone.
    recorded = trajectory.load(trajectory.shipped("walker_walk")).first(2)
    recorded = recorded._replace(states=recorded.states[:, 20:260:4], actions=None, rewards=None)
    view = View("walker_walk", action_repeat=8, image_size=84 * scale, quality="fast")
    large = render.render(recorded, view, cache_dir=tmp_path)
    write_video(tmp_path / "film.mp4", large[0], fps=50.0)
    asked = Request("walker_walk", action_repeat=2, memory=10**9, image_size=84)
    film = import_video.read([tmp_path / "film.mp4"], asked, import_video.Cutting(control_rate=50.0)).frames[0]
    assert len(film) == 60
    one = recorded._replace(states=recorded.states[1:])
    drawn = render.render(one, view._replace(image_size=84), cache_dir=tmp_path)[0]
    plain_gap, plain_right = gap(film, drawn)
    look_gap, look_right = gap([video_look(f, 84) for f in film], [video_look(f, 84) for f in large[1]])
    assert plain_gap > 1 and plain_right == 1.0
    assert look_gap < 0.4 * plain_gap and look_right < 0.85


def test_a_recording_keeps_frames_without_the_look_and_training_lays_it_over_them():
    """Else the expert's frames are compressed twice, the agent's once."""
    factory = FactoryEnvironment(
        factory="tests.envs.fakes:corridor", task="corridor", action_repeat=1, image_size=32, episode_frames=100
    )
    environment = VideoLook(factory, image_size=16)
    shown = environment.reset(0).frame
    kept = environment.recorded()
    assert kept.shape == (16, 16, 3) and not np.array_equal(kept, shown)
    np.testing.assert_array_equal(video_look(kept, 16), shown)
