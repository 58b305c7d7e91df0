"""From an episode through the ring to the critic's target, against the sum written out from the episode itself."""

import functools

import hypothesis.strategies as st
import jax
import numpy as np
from hypothesis import given, settings

from patchail_jax.equations.td_target import td_target
from patchail_jax.replay.ring import Ring
from patchail_jax.types import Episode, Specs

DISCOUNT = 0.9
target_of = jax.jit(functools.partial(td_target, discount=DISCOUNT))


def played(rng, length, terminated):
    """An episode whose frames and actions hold their step, and whose rewards are anything."""
    times = np.arange(length + 1, dtype=np.uint8)
    frames = np.broadcast_to(times[:, None, None, None], (length + 1, 2, 2, 3))
    discounts = np.ones(length, np.float32)
    discounts[-1] = 0.0 if terminated else 1.0
    actions = np.arange(length, dtype=np.float32)[:, None]
    return Episode(frames, actions, rng.normal(size=length).astype(np.float32), discounts)


def by_hand(episode, t, n, values):
    """Discounted rewards until the end or for n steps; then what the state is worth, if there is one."""
    length, terminated = len(episode.actions), episode.discounts[-1] == 0
    total = sum(DISCOUNT**i * episode.rewards[t + i] for i in range(n) if t + i < length)
    ended = terminated and t + n >= length
    return total if ended else total + DISCOUNT**n * min(values)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.booleans(), st.integers(1, 4))
def test_n_step_returns_end_where_the_episode_does(length, terminated, n):
    rng = np.random.default_rng(length)
    specs = Specs(image_size=2, frame_stack=2, action_size=1, n_step=n)
    ring, episode = Ring(capacity=20, specs=specs), played(rng, length, terminated)
    ring.add(episode)
    starts = range(length if terminated else length - n + 1)
    assert len(ring) == len(starts)
    if not len(ring):
        return
    windows = ring.windows(np.minimum(np.arange(9), len(ring) - 1))  # of one shape, compiled once
    values = rng.normal(size=(2, 9)).astype(np.float32)
    found = target_of(windows.rewards, windows.discounts, values)[: len(ring)]
    np.testing.assert_allclose(found, [by_hand(episode, t, n, values[:, t]) for t in starts], rtol=1e-5, atol=1e-5)
    seen = ring.frames[windows.frames][..., 0, 0, 0]
    for t in starts:
        assert windows.actions[t, 0] == t
        assert seen[t, :2].tolist() == [max(t - 1, 0), t]
        assert seen[t, -2:].tolist() == [min(t + n - 1, length), min(t + n, length)]
