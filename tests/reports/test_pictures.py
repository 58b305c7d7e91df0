"""Pictures show the rewards they were given."""

import matplotlib.image
import numpy as np

from patchail_jax.outputs.explaining_film import ExplainedEpisode
from patchail_jax.reports.pictures import learning_curve, patch_rewards


def test_high_rewards_are_red_and_low_ones_blue(tmp_path):
    frames = np.full((9, 16, 16, 3), 128, np.uint8)
    maps = np.ones((8, 16, 16), np.float32)
    patch_rewards(
        tmp_path / "a" / "picture.png",
        [ExplainedEpisode("expert", frames, maps, np.ones(8)), ExplainedEpisode("agent", frames, -maps, -np.ones(8))],
    )
    picture = matplotlib.image.imread(tmp_path / "a" / "picture.png")[..., :3]
    difference = picture[..., 0] - picture[..., 2]
    rows = np.arange(len(picture))[:, None]
    body = difference[:, : int(picture.shape[1] * 0.85)]  # without the colour bar
    red, blue = rows[np.nonzero(body > 0.1)[0]], rows[np.nonzero(body < -0.1)[0]]
    assert red.size and blue.size and red.max() < blue.min()  # the expert's row stands above the agent's


def test_the_learning_curve_is_drawn_from_the_csv(tmp_path):
    csv = tmp_path / "eval.csv"
    csv.write_text("agent,task,seed,frame,episode_reward,hour\npatchail,cartpole_swingup,0,0,10.0,0\n")
    learning_curve(tmp_path / "one.png", csv, expert_return=None)
    csv.write_text(csv.read_text() + "patchail,cartpole_swingup,0,1000,400.0,0.1\n")
    learning_curve(tmp_path / "two.png", csv, expert_return=800.0)
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "two.png").read_bytes()


def test_the_axis_of_a_curve_begins_at_0_or_below_what_is_drawn(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("patchail_jax.reports.pictures.save", lambda figure, path: drawn.append(figure.axes[0]))
    csv = tmp_path / "eval.csv"
    for last in (400.0, -400.0):
        csv.write_text("agent,task,seed,frame,episode_reward,hour\n")
        csv.write_text(csv.read_text() + f"patchail,reach,0,0,{last / 10},0\npatchail,reach,0,1000,{last},0\n")
        learning_curve(tmp_path / "curve.png", csv, expert_return=2 * last)
    up, down = drawn
    assert up.get_ylim()[0] == 0 and down.get_ylim()[0] < -800 < down.get_ylim()[1]
    assert len(up.lines) == 3 and len(down.lines) == 2  # half of a loss is no goal
