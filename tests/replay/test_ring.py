"""The ring against a list of episodes that does everything the slow and obvious way."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from patchail_jax.errors import UserError
from patchail_jax.replay.episode_table import EpisodeTable
from patchail_jax.replay.ring import Ring, nbytes
from patchail_jax.types import Episode, Specs


class Naive:
    """Whole episodes in a list, the oldest dropped until the newest fits."""

    def __init__(self, capacity, specs):
        self.capacity, self.specs, self.episodes = capacity, specs, []

    def add(self, episode):
        if len(episode.actions) < self.specs.n_step and episode.discounts[-1] != 0:
            return  # nothing could be drawn from it
        self.episodes.append(episode)
        while sum(len(e.frames) for e in self.episodes) > self.capacity:
            self.episodes.pop(0)

    def windows(self):
        """Every window, in order, a transition and a frame at a time."""
        size, n = self.specs.frame_stack, self.specs.n_step
        for episode in self.episodes:
            length = len(episode.actions)
            terminated = episode.discounts[-1] == 0
            for t in range(length):
                if t + n > length and not terminated:
                    continue
                frames = [episode.frames[min(max(i, 0), length)] for i in range(t - size + 1, t + n + 1)]
                rewards = [episode.rewards[i] if i < length else 0.0 for i in range(t, t + n)]
                discounts = [episode.discounts[i] if i < length else 0.0 for i in range(t, t + n)]
                yield np.stack(frames), episode.actions[t], rewards, discounts


def episode(rng, length, terminated):
    discounts = np.ones(length, np.float32)
    discounts[-1] = 0.0 if terminated else 1.0
    return Episode(
        rng.integers(0, 256, (length + 1, 2, 2, 3), dtype=np.uint8),
        rng.normal(size=(length, 2)).astype(np.float32),
        rng.normal(size=length).astype(np.float32),
        discounts,
    )


def filled(lengths, capacity):
    """A ring and the list beside it with episodes of ``lengths``; what they are made of and drawn from before them."""
    specs, rng = Specs(image_size=2, frame_stack=2, action_size=2, n_step=3), np.random.default_rng(0)
    ring, naive = Ring(capacity=capacity, specs=specs), Naive(capacity, specs)
    for length, terminated in lengths:
        new = episode(rng, length, terminated)
        ring.add(new)
        naive.add(new)
    return specs, rng, ring, naive


def gather(ring, numbers):
    batch = ring.windows(numbers)
    assert batch.frames.dtype == np.int32
    return batch._replace(frames=ring.frames[batch.frames])


def assert_equal(ring, naive):
    expected = list(naive.windows())
    assert len(ring) == len(expected)
    if not expected:
        return
    got = gather(ring, np.arange(len(ring)))
    for leaf, wanted in zip(got, zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(leaf, np.asarray(wanted, leaf.dtype))


LENGTHS = st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=80, deadline=None)
@given(LENGTHS, st.integers(13, 40), st.integers(1, 3), st.integers(1, 4))
def test_windows_are_those_of_a_list_of_episodes(lengths, capacity, frame_stack, n_step):
    specs = Specs(image_size=2, frame_stack=frame_stack, action_size=2, n_step=n_step)
    rng = np.random.default_rng(0)
    ring, naive = Ring(capacity=capacity, specs=specs), Naive(capacity, specs)
    for length, terminated in lengths:
        new = episode(rng, length, terminated)
        ring.add(new)
        naive.add(new)
        assert_equal(ring, naive)
        assert (ring.episodes, ring.transitions) == (len(naive.episodes), sum(len(e.actions) for e in naive.episodes))


@settings(max_examples=30, deadline=None)
@given(LENGTHS, st.integers(13, 40))
def test_a_restored_ring_is_the_same_ring(lengths, capacity):
    specs, rng, ring, naive = filled(lengths, capacity)
    state = ring.state()
    assert len(state["frames"]) == sum(len(e.frames) for e in naive.episodes)  # the used part alone
    restored = Ring(capacity=capacity, specs=specs)
    restored.load_state(state)
    assert_equal(restored, naive)
    if len(ring):
        draws = [r.sample_indices(np.random.default_rng(4), 9) for r in (ring, restored)]
        np.testing.assert_array_equal(*draws)
        for leaf, again in zip(gather(ring, draws[0]), gather(restored, draws[1]), strict=True):
            np.testing.assert_array_equal(leaf, again)
    for length, terminated in [(5, False), (9, True), (3, False)]:
        new = episode(rng, length, terminated)
        restored.add(new)
        naive.add(new)
        assert_equal(restored, naive)


@settings(max_examples=30, deadline=None)
@given(LENGTHS, st.integers(13, 40))
def test_rescoring_changes_every_episode_s_rewards_and_nothing_else(lengths, capacity):
    _, _, ring, naive = filled(lengths, capacity)

    def score(frames):
        return frames[1:].mean(axis=(1, 2, 3)) - frames[:-1].mean(axis=(1, 2, 3))

    ring.rescore(score)
    naive.episodes = [e._replace(rewards=score(e.frames).astype(np.float32)) for e in naive.episodes]
    assert_equal(ring, naive)


@settings(max_examples=40, deadline=None)
@given(LENGTHS, st.integers(13, 40), st.integers(1, 4))
def test_the_numbers_of_windows_list_each_window_once(lengths, capacity, n_step):
    # Uniform numbers are uniform windows exactly when the numbers are a list of the windows without a repetition.
    # The action of step k holds k, and the reward the episode's number.
    specs = Specs(image_size=2, frame_stack=2, action_size=1, n_step=n_step)
    ring, naive = Ring(capacity=capacity, specs=specs), Naive(capacity, specs)
    for number, (length, terminated) in enumerate(lengths):
        discounts = np.ones(length, np.float32)
        discounts[-1] = 0.0 if terminated else 1.0
        steps = np.arange(length, dtype=np.float32)[:, None]
        frames = np.zeros((length + 1, 2, 2, 3), np.uint8)
        new = Episode(frames, steps, np.full(length, number, np.float32), discounts)
        ring.add(new)
        naive.add(new)
    expected = [(int(rewards[0]), int(action[0])) for _, action, rewards, _ in naive.windows()]
    assert len(set(expected)) == len(expected) == len(ring)
    if expected:
        batch = gather(ring, np.arange(len(ring)))
        assert list(zip(batch.rewards[:, 0].astype(int), batch.actions[:, 0].astype(int), strict=True)) == expected


def test_drawing_is_uniform_over_windows_of_long_and_short_episodes():
    specs = Specs(image_size=2, frame_stack=1, action_size=2, n_step=2)
    ring = Ring(capacity=40, specs=specs)
    rng = np.random.default_rng(0)
    for length in (4, 11, 2):
        ring.add(episode(rng, length, False))
    assert len(ring) == 3 + 10 + 1
    counts = np.bincount(ring.sample_indices(rng, 28_000), minlength=14)
    np.testing.assert_allclose(counts, 2000, atol=5 * np.sqrt(2000))


def test_windows_keep_the_shape_of_the_indices():
    specs = Specs(image_size=2, frame_stack=2, action_size=2, n_step=3)
    ring = Ring(capacity=40, specs=specs)
    ring.add(episode(np.random.default_rng(0), 10, False))
    batch = gather(ring, np.arange(8).reshape(2, 1, 4))
    assert batch.frames.shape == (2, 1, 4, 5, 2, 2, 3)
    assert (batch.actions.shape, batch.rewards.shape, batch.discounts.shape) == (
        (2, 1, 4, 2),
        (2, 1, 4, 3),
        (2, 1, 4, 3),
    )


def test_an_episode_longer_than_the_ring_is_refused_in_one_line():
    specs = Specs(image_size=2, frame_stack=1, action_size=2, n_step=1)
    with pytest.raises(UserError, match="raise config.replay.capacity"):
        Ring(capacity=10, specs=specs).add(episode(np.random.default_rng(0), 10, False))


def test_the_estimate_is_the_memory_of_the_arrays():
    specs = Specs(image_size=7, frame_stack=1, action_size=3, n_step=1)
    ring = Ring(capacity=11, specs=specs)
    arrays = (ring._frames, ring._actions, ring._rewards, ring._discounts)
    assert nbytes(11, specs) == sum(array.nbytes for array in arrays)
    paper = nbytes(150_300, Specs(84, 3, 6, 3))
    assert 3.0e9 < paper < 3.3e9


def test_episodes_too_short_for_a_window_push_nothing_out():
    _, rng, ring, _ = filled([(5, False)], capacity=8)
    before = ring.sample_indices(np.random.default_rng(0), 4)
    for _ in range(20):
        assert len(ring.add(episode(rng, 2, terminated=False))) == 0
    assert ring.episodes == 1 and len(ring) == 3
    np.testing.assert_array_equal(ring.sample_indices(np.random.default_rng(0), 4), before)
    assert len(ring.add(episode(rng, 2, terminated=True))) == 3  # a termination makes windows


@pytest.mark.parametrize("kept", [1, 7, 300])
def test_the_table_of_episodes_grows_with_those_it_holds_and_not_with_those_it_held(kept):
    rng, table, listed = np.random.default_rng(0), EpisodeTable(), []
    for number in range(1_000):
        row = (number, *rng.integers(1, 9, 2).tolist())
        table.add(*row)
        listed.append(row)
        while len(listed) > kept:
            table.drop_oldest()
            del listed[0]
    assert table.rows.tolist() == [list(row) for row in listed] and list(table) == [row[:2] for row in listed]
    assert len(table._rows) <= max(64, 2 * kept + 2)
    assert (table.transitions, table.windows) == tuple(np.sum(listed, axis=0)[1:])
    assert table.slots == table.transitions + kept
    slots, transitions, steps = table.find(np.arange(table.windows))
    expected = [(slot, length, step) for slot, length, windows in listed for step in range(windows)]
    assert list(zip(slots.tolist(), transitions.tolist(), steps.tolist(), strict=True)) == expected
