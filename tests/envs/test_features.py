"""Features of the physics in the place of frames."""

import functools

import numpy as np
import pytest
from dm_control import suite

from patchail_jax.envs.features import FeatureEnvironment, feature_count
from patchail_jax.envs.outcome import Reset, Restore, Step
from patchail_jax.envs.workers import InlinePool, ProcessPool
from patchail_jax.errors import UserError
from patchail_jax.replay.ring import Ring, nbytes
from patchail_jax.replay.stream import NoExperts, Stream
from patchail_jax.types import Episode, Specs

MAKE = functools.partial(FeatureEnvironment, task="cheetah_run", action_repeat=2, episode_frames=20)


def test_features_are_the_task_s_own_observation():
    theirs = suite.load("cheetah", "run", task_kwargs={"random": 7, "time_limit": float("inf")})
    ours, action = MAKE(), np.full(6, 0.5)
    observation, outcome = theirs.reset().observation, ours.reset(7)
    for _ in range(3):
        np.testing.assert_allclose(outcome.frame, np.concatenate(list(observation.values())), rtol=1e-6)
        for _ in range(2):
            observation = theirs.step(action).observation
        outcome = ours.step(action)
    assert ours.renderer is None  # nothing is drawn
    assert outcome.frame.shape == (feature_count("cheetah_run"),) == (17,) and outcome.frame.dtype == np.float32


def test_processes_show_the_same_features_and_restored_episodes_too():
    def play(pool):
        seen = []
        for command in (Reset(3), Step(np.ones(6)), Step(-np.ones(6)), Restore(3, np.ones((2, 6))), Step(np.ones(6))):
            pool.send({0: command})
            outcome = pool.receive()[0]
            seen.append(None if outcome is None else outcome.frame.copy())
        return seen

    with InlinePool(MAKE, 1) as inline, ProcessPool(MAKE, 1) as process:
        for one, other in zip(play(inline), play(process), strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_action_repeat_that_does_not_fit_is_one_line():
    with pytest.raises(UserError, match="does not fit"):
        FeatureEnvironment(task="cheetah_run", action_repeat=30, episode_frames=20)


def test_replay_holds_vectors_and_batches_of_experts_need_none():
    specs = Specs(image_size=0, frame_stack=1, action_size=1, n_step=2, feature_count=4)
    ring = Ring(capacity=20, specs=specs)
    frames = np.arange(24, dtype=np.float32).reshape(6, 4) / 7
    ring.add(Episode(frames, np.zeros((5, 1), np.float32), np.ones(5, np.float32), np.ones(5, np.float32)))
    settings = {"expert_batch_size": 4, "frame_stack": 1, "devices": 2, "updates_per_call": 3, "root": (0,)}
    stream = Stream(ring, NoExperts((4,)), batch_size=8, **settings)
    batch = stream.pixel_batches(0)
    assert batch.agent.frames.shape == (2, 3, 4, 3, 4) and batch.agent.frames.dtype == np.float32
    np.testing.assert_allclose(np.diff(batch.agent.frames, axis=-2), 4 / 7, rtol=1e-5)  # consecutive, unchanged
    assert nbytes(20, specs) == 20 * (16 + 12)

    empty = Stream(Ring(capacity=20, specs=specs), NoExperts((4,)), batch_size=0, **settings)
    assert empty.batches(0).agent.frames.shape == (2, 3, 0, 3) and empty.batches(0).expert_index.shape == (2, 3, 2)
