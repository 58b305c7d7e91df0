"""Index arithmetic of n-step windows inside one episode; no data here.

An episode of T transitions has frames 0..T. The window of step t reads the stack of s_t, the n rewards from t on, and
the stack of s_{t+n}: frames t-S+1 .. t+n.
"""

import numpy as np


def window_count(transitions: int, *, n_step: int, terminated: bool) -> int:
    """Steps t at which a window starts: 0..T-n, or 0..T-1 when nothing comes after the end anyway."""
    return transitions if terminated else max(transitions - n_step + 1, 0)


def frame_times(starts: np.ndarray, transitions: np.ndarray, *, frame_stack: int, n_step: int) -> np.ndarray:
    """Frames of the windows ``starts [...]``, ``[..., S+n]``, clipped to the episode.

    Before the start the first frame is repeated, as at a reset; after a termination the last one, where the discount
    is 0 already.
    """
    times = starts[..., None] + np.arange(1 - frame_stack, n_step + 1)
    return np.clip(times, 0, transitions[..., None])


def transition_times(starts: np.ndarray, transitions: np.ndarray, *, n_step: int) -> tuple[np.ndarray, np.ndarray]:
    """Transitions t..t+n-1 of the windows, ``[..., n]`` clipped to the episode, and which of them exist."""
    times = starts[..., None] + np.arange(n_step)
    exists = times < transitions[..., None]
    return np.minimum(times, transitions[..., None] - 1), exists
