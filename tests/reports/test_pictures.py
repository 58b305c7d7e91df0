"""Pictures show the rewards they were given."""

import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from patchail_jax.outputs.explaining_film import ExplainedEpisode
from patchail_jax.reports import pictures
from patchail_jax.reports.eval_csv import EvalCsv
from patchail_jax.reports.pictures import contact_sheet, learning_curve, patch_rewards


def test_high_rewards_are_red_and_low_ones_blue(tmp_path):
    frames = np.full((9, 16, 16, 3), 128, np.uint8)
    maps = np.ones((8, 16, 16), np.float32)
    patch_rewards(
        tmp_path / "a" / "picture.png",
        [ExplainedEpisode("expert", frames, maps, np.ones(8)), ExplainedEpisode("agent", frames, -maps, -np.ones(8))],
        form="airl",
    )
    picture = matplotlib.image.imread(tmp_path / "a" / "picture.png")[..., :3]
    difference = picture[..., 0] - picture[..., 2]
    rows = np.arange(len(picture))[:, None]
    body = difference[:, : int(picture.shape[1] * 0.85)]  # without the colour bar
    red, blue = rows[np.nonzero(body > 0.1)[0]], rows[np.nonzero(body < -0.1)[0]]
    assert red.size and blue.size and red.max() < blue.min()  # the expert's row stands above the agent's


def sheet(monkeypatch, steps):
    """The contact sheet of an episode of so many steps: the axes of pictures, and that of the rewards."""
    drawn = []
    monkeypatch.setattr(pictures, "write_figure", lambda figure, stem: drawn.append(figure) or [])
    rewards = np.linspace(0.5, 1, steps)
    episode = ExplainedEpisode("x", np.zeros((steps + 1, 8, 8, 3), np.uint8), np.ones((steps, 8, 8)), rewards)
    contact_sheet(Path("stem"), [episode], label="reward")
    *shown, strip, _ = drawn[0].axes
    return shown, strip


@pytest.mark.parametrize(("steps", "columns"), [(1, 1), (2, 2), (5, 5), (8, 8), (300, 8)])
def test_a_sheet_shows_each_step_once(monkeypatch, steps, columns):
    shown, strip = sheet(monkeypatch, steps)
    titles = [axis.get_title() for axis in shown if axis.get_title()]
    assert len(shown) == 2 * columns and len(set(titles)) == len(titles) == columns
    assert titles[-1] == f"step {steps - 1}" and len(strip.get_xticks()) == columns


@pytest.mark.parametrize("steps", [1, 4])
def test_a_strip_has_a_bar_a_step_whole_dots_and_a_name(monkeypatch, steps):
    _, strip = sheet(monkeypatch, steps)
    high = strip.patches[0].get_path().get_extents()
    assert (high.x0, high.x1, high.y1) == (-0.5, steps - 0.5, 1.0 if steps > 1 else 0.5)
    (dots,) = [line for line in strip.lines if line.get_marker() == "o"]
    assert not dots.get_clip_on() and strip.get_xlabel() == "step"


def test_rewards_that_are_all_0_have_an_axis(monkeypatch):
    monkeypatch.setattr(pictures, "write_figure", lambda figure, stem: [figure])
    none = ExplainedEpisode("x", np.zeros((5, 8, 8, 3), np.uint8), np.zeros((4, 8, 8)), np.zeros(4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (figure,) = contact_sheet(Path("stem"), [none], label="reward")
    low, high = figure.axes[-2].get_ylim()
    assert low == -high < 0


def evaluations(*returns):
    return EvalCsv(1000 * np.arange(len(returns)), np.asarray(returns, float), None, 1000, 0.1)


def test_the_learning_curve_is_drawn_from_the_evaluations(tmp_path):
    words = {"label": "PatchAIL", "title": "cartpole_swingup, seed 0"}
    learning_curve(tmp_path / "one.png", evaluations(10.0), expert_return=None, **words)
    learning_curve(tmp_path / "two.png", evaluations(10.0, 400.0), expert_return=800.0, **words)
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()


def test_the_axis_of_a_curve_begins_at_0_or_below_what_is_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("patchail_jax.reports.pictures.save", lambda figure, path: drawn.append(figure.axes[0]))
    for last in (400.0, -400.0):
        found = evaluations(last / 10, last)
        learning_curve(tmp_path / "curve.png", found, label="PatchAIL", title="reach", expert_return=2 * last)
    up, down = drawn
    assert up.get_ylim()[0] == 0 and down.get_ylim()[0] < -800 < down.get_ylim()[1]
    assert len(up.lines) == 3 and len(down.lines) == 2  # half of a loss is no goal
