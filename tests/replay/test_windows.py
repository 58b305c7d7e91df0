"""Index arithmetic against windows written out one by one."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from patchail_jax.replay.windows import frame_times, transition_times, window_count

SIZES = (st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.booleans())


@given(*SIZES)
def test_no_window_leaves_its_episode(transitions, frame_stack, n_step, terminated):
    count = window_count(transitions, n_step=n_step, terminated=terminated)
    starts, length = np.arange(count), np.full(count, transitions)
    frames = frame_times(starts, length, frame_stack=frame_stack, n_step=n_step)
    times, exists = transition_times(starts, length, n_step=n_step)
    assert frames.shape == (count, frame_stack + n_step) and times.shape == exists.shape == (count, n_step)
    for t in range(count):
        assert frames[t].tolist() == [min(max(i, 0), transitions) for i in range(t - frame_stack + 1, t + n_step + 1)]
        assert exists[t].tolist() == [i < transitions for i in range(t, t + n_step)]
        assert times[t][exists[t]].tolist() == [i for i in range(t, t + n_step) if i < transitions]
        assert (times[t] < transitions).all()
        assert terminated or exists[t].all()


@given(*SIZES)
def test_every_start_that_is_valid_is_counted(transitions, frame_stack, n_step, terminated):
    del frame_stack
    valid = [t for t in range(transitions) if terminated or t + n_step <= transitions]
    assert window_count(transitions, n_step=n_step, terminated=terminated) == len(valid)
