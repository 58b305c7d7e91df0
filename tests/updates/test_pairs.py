"""Pairs by the numbers of their frames."""

import numpy as np
import pytest

from patchail_jax.types import Specs
from patchail_jax.updates.pairs import make_pairs

SPECS = Specs(image_size=2, frame_stack=2, action_size=1, n_step=3)
FRAMES = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None, None], (5, 2, 2, 3))


def pairs(observation):
    return make_pairs(
        SPECS, observation=observation, augmentation="none", augmentation_pad=0, agent_successor="one_step"
    )


def seen(inputs):
    """The frames of each input, by number, oldest first."""
    return np.asarray(inputs)[:, 0, 0, ::3].tolist()


@pytest.mark.parametrize(("observation", "first"), [("pair", 0), ("single", 2)])
def test_a_pair_is_s_and_its_successor_and_a_single_one_the_successor_alone(observation, first):
    made = pairs(observation)
    assert seen(made.at(FRAMES[None], 0)) == [[0, 1, 1, 2][first:]]
    assert seen(made.at(FRAMES[None], 0, 3)) == [[0, 1, 3, 4][first:]]
    wanted = [[0, 1, 1, 2][first:], [1, 2, 2, 3][first:], [2, 3, 3, 4][first:]]
    assert seen(made.of_windows(FRAMES[None], 3)) == wanted
    assert seen(made.of_episode(FRAMES)) == wanted
