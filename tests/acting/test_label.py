"""Which rewards go into replay."""

import numpy as np

from patchail_jax.acting.label import label
from patchail_jax.types import Episode

EPISODE = Episode(
    np.zeros((3, 2, 2, 3), np.uint8), np.zeros((2, 1), np.float32), np.full(2, 7, np.float32), np.ones(2, np.float32)
)


def test_an_imitator_s_replay_never_holds_the_task_s_rewards():
    def found(*, uses_task_reward, scores):
        return label(EPISODE, uses_task_reward=uses_task_reward, score=lambda frames: scores).rewards.tolist()

    assert found(uses_task_reward=True, scores=None) == [7, 7]
    assert found(uses_task_reward=False, scores=None) == [0, 0]
    assert found(uses_task_reward=False, scores=np.asarray([1.0, 2.0])) == [1, 2]
