"""What an update sees depends on its number alone."""

import numpy as np
import pytest

from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.replay.ring import Ring
from patchail_jax.replay.stream import NoExperts, Stream
from patchail_jax.types import Episode, Specs

SPECS = Specs(image_size=2, frame_stack=2, action_size=1, n_step=3)


def make(*, devices=1, updates_per_call=1, experts=None, whole_demonstration=False, remembered=0, expert_steps=1):
    rng = np.random.default_rng(0)
    ring = Ring(capacity=100, specs=SPECS)
    frames = rng.integers(0, 256, (51, 2, 2, 3), dtype=np.uint8)
    ring.add(Episode(frames, rng.normal(size=(50, 1)).astype("f"), np.arange(50, dtype="f"), np.ones(50, "f")))
    return Stream(
        ring,
        experts or ExpertSet(frames[None], None, None, 1),
        batch_size=8,
        expert_batch_size=4,
        frame_stack=2,
        devices=devices,
        updates_per_call=updates_per_call,
        whole_demonstration=whole_demonstration,
        expert_steps=expert_steps,
        root=(3, 2),
        remembered=remembered,
    )


def whole(batch, k):
    """Update k of a call, its devices' shards put together again."""
    agent = [np.concatenate(list(leaf[:, k])) for leaf in batch.agent]
    expert = [np.concatenate(list(leaf[:, k])) for leaf in batch.expert]
    return [
        *agent,
        *expert,
        np.concatenate(list(batch.sample_index[:, k])),
        np.concatenate(list(batch.expert_index[:, k])),
    ]


@pytest.mark.parametrize("devices", [1, 2, 4])
@pytest.mark.parametrize("updates_per_call", [1, 3])
def test_neither_devices_nor_calls_change_an_update_s_batch(devices, updates_per_call):
    plain = make()
    batch = make(devices=devices, updates_per_call=updates_per_call).pixel_batches(6)
    assert batch.agent.frames.shape == (devices, updates_per_call, 8 // devices, 5, 2, 2, 3)
    for k in range(updates_per_call):
        for leaf, wanted in zip(whole(batch, k), whole(plain.pixel_batches(6 + k), 0), strict=True):
            np.testing.assert_array_equal(leaf, wanted)
    np.testing.assert_array_equal(whole(batch, 0)[-2], np.arange(8))
    np.testing.assert_array_equal(whole(batch, 0)[-1], np.arange(4))


def test_the_expert_s_states_are_as_far_apart_as_asked():
    batch = make(expert_steps=3).batches(0)
    assert batch.expert.frames.shape == (1, 1, 4, 5) and make().batches(0).expert.frames.shape == (1, 1, 4, 3)


def test_updates_differ_and_repeat():
    first, again, other = make().batches(1), make().batches(1), make().batches(2)
    np.testing.assert_array_equal(first.agent.rewards, again.agent.rewards)
    assert not np.array_equal(first.agent.rewards, other.agent.rewards)


def test_without_demonstrations_the_pairs_are_empty():
    stream = make(devices=2, experts=NoExperts((2, 2, 3)))
    assert stream.pixel_batches(0).expert.frames.shape == (2, 1, 2, 0, 2, 2, 3)


def test_a_whole_demonstration_comes_in_order_and_without_the_pairs_that_cannot_be_shared():
    batch = make(devices=4, whole_demonstration=True).pixel_batches(0)
    frames = make()._experts.frames[0]
    assert batch.demonstration.shape == (4, 1, 12, 3, 2, 2, 3)  # 48 of 50 pairs
    pairs = np.concatenate(list(batch.demonstration[:, 0]))
    np.testing.assert_array_equal(pairs[:, -1], frames[1:49])
    assert make().pixel_batches(0).demonstration.shape[2] == 0


def test_a_batch_is_recalled_as_it_was_drawn_whatever_came_since():
    stream = make(remembered=2)
    frames = np.random.default_rng(1).integers(0, 256, (21, 2, 2, 3), dtype=np.uint8)
    drawn = {update: stream.pixel_batches(update) for update in (0, 1, 2)}
    stream._ring.add(Episode(frames, np.ones((20, 1), "f"), np.ones(20, "f"), np.ones(20, "f")))
    assert stream.recall(0) is None  # too long ago
    for update in (1, 2):
        for leaf, wanted in zip(whole(stream.recall(update), 0), whole(drawn[update], 0), strict=True):
            np.testing.assert_array_equal(leaf, wanted)
    assert not np.array_equal(stream.pixel_batches(2).agent.frames, drawn[2].agent.frames)  # drawn anew it differs
