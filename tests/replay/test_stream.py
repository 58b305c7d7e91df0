"""What an update sees depends on its number alone."""

import numpy as np
import pytest

from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.errors import UserError
from patchail_jax.replay.ring import Ring
from patchail_jax.replay.stream import NoExperts, Stream
from patchail_jax.types import Episode, Specs

SPECS = Specs(image_size=2, frame_stack=2, action_size=1, n_step=3)


def make(*, devices=1, updates_per_call=1, experts=None, remembered=0, expert_steps=1, root=(3, 2), whole=None):
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
        expert_steps=expert_steps,
        root=root,
        demonstration_root=whole,
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


def test_a_whole_demonstration_comes_in_order_and_as_much_of_it_as_the_devices_can_share():
    frames = make()._experts.frames[0]
    for devices, shown in ((1, np.arange(50)), (2, np.arange(50)), (4, np.arange(48) * 50 // 48)):
        demonstration = make(devices=devices, whole=(5,)).pixel_batches(0).demonstration
        assert demonstration.shape == (devices, 1, len(shown) // devices, 3, 2, 2, 3)
        np.testing.assert_array_equal(np.concatenate(list(demonstration[:, 0]))[:, -1], frames[1 + shown])
    assert make().pixel_batches(0).demonstration.shape[2] == 0


def of_two_lengths(short):
    frames = np.random.default_rng(2).integers(0, 256, (2, 51, 2, 2, 3), dtype=np.uint8)
    return ExpertSet(frames, None, None, 1, lengths=np.array([50, short]))


def test_of_a_longer_demonstration_pairs_are_spread_over_all_of_it():
    experts = of_two_lengths(20)
    stream = make(experts=experts, whole=(5,))
    newest = [stream.pixel_batches(update).demonstration[0, 0, :, -1] for update in range(8)]
    long, short = experts.frames[0, 1:][np.arange(20) * 50 // 20], experts.frames[1, 1:21]
    shown = [np.array_equal(one, long) for one in newest]
    assert any(shown) and not all(shown)
    assert all(np.array_equal(one, long if of_long else short) for one, of_long in zip(newest, shown, strict=True))


def test_all_processes_compare_with_the_same_demonstration_and_draw_their_own_samples():
    one, other = (make(experts=of_two_lengths(20), root=(3, 2, process), whole=(5,)) for process in (0, 1))
    for update in range(8):
        mine, theirs = one.batches(update), other.batches(update)
        np.testing.assert_array_equal(mine.demonstration, theirs.demonstration)
        assert not np.array_equal(mine.expert.frames, theirs.expert.frames)


def test_a_demonstration_shorter_than_the_devices_are_many_is_refused():
    with pytest.raises(UserError, match="the shortest demonstration has 3 steps, fewer than the 4 devices"):
        make(devices=4, experts=of_two_lengths(3), whole=(5,))
    make(devices=4, experts=of_two_lengths(3))  # which no method compares with


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
