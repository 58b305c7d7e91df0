"""Overlays and films show the values they were given."""

import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.outputs.explaining_film import ExplainedEpisode, explaining_film, reward_strip
from patchail_jax.outputs.overlay import colours, limit_of, overlay


def test_colours_are_symmetric_about_a_neutral_white():
    low, white, high = colours(np.array([-3.0, 0.0, 3.0]), limit=2.0)
    np.testing.assert_allclose(white, 247.0)
    assert low[2] > 1.5 * low[0] and high[0] > 1.5 * high[2]
    np.testing.assert_array_equal(low, colours(np.array(-2.0), limit=2.0))  # beyond the limit is the limit


def test_the_limit_is_a_high_percentile_of_the_magnitude_and_never_0():
    assert limit_of([np.linspace(-1, 0, 101), np.zeros(0)]) == pytest.approx(0.99)
    assert limit_of([np.zeros((2, 2))]) == 1.0
    for value in (np.nan, np.inf):
        with pytest.raises(UserError, match="not finite: an update has broken"):
            limit_of([np.zeros(2), np.asarray([0.0, value])])


def test_the_frame_stays_visible_under_every_value():
    frames = np.zeros((1, 1, 2, 3), np.uint8)
    frames[:, :, 1] = 255
    for value in (-1.0, 0.0, 1.0):
        dark, light = overlay(frames, np.full((1, 1, 2), value), limit=1.0)[0, 0].astype(int)
        assert (light - dark).max() > 60
    neutral = overlay(frames, np.zeros((1, 1, 2)), limit=1.0)
    assert np.ptp(neutral, axis=-1).max() <= 1


def test_a_strip_rises_for_reward_and_falls_for_its_opposite():
    strip = reward_strip(np.array([1.0, -1.0, 0.0]), width=30, height=21, highest=1.0).astype(int)
    inked = strip.sum(axis=-1) < 600
    assert inked[1:10, :10].all() and not inked[12:, :10].any()
    assert inked[11:20, 10:20].all() and not inked[:9, 10:20].any()
    assert not inked[:9, 20:].any() and not inked[12:, 20:].any()
    assert strip[3, 5, 0] > strip[3, 5, 2] and strip[17, 15, 2] > strip[17, 15, 0]  # red above, blue below


def test_a_film_has_every_step_and_short_episodes_wait():
    rng = np.random.default_rng(0)

    def episode(title, steps):
        frames = rng.integers(0, 256, (steps + 1, 16, 16, 3), dtype=np.uint8)
        return ExplainedEpisode(title, frames, rng.normal(size=(steps, 16, 16)), rng.normal(size=steps))

    film = explaining_film([episode("expert", 3), episode("agent", 5)], side=32)
    assert film.shape[0] == 5 and film.dtype == np.uint8 and film.shape[2] == 2 * 32 + 6
    half = film.shape[1] // 2
    long = explaining_film([episode("a" * 500, 3)], side=128)
    assert long.shape[2] == 2 * 128 + 6 and (long[0, :18, -88:-82] == long[0, 0, 0]).all()  # clear of the reward
    np.testing.assert_array_equal(film[3, :half], film[2, :half])
    assert (film[4, half:] != film[3, half:]).any() and (film[2, :half] != film[1, :half]).any()
    one = explaining_film([episode("agent", 2)], side=32, limit=100.0)
    assert np.ptp(one[:, 20:52, 38:].astype(int), axis=-1).max() < 40  # far below the limit all is nearly grey
