"""Demonstrations small enough to make in every test."""

import numpy as np
import pytest

from patchail_jax.demos.trajectory import Trajectories


@pytest.fixture
def tiny() -> Trajectories:
    """Three demonstrations of four steps: cartpole_swingup's sizes (X=4, A=1), random values."""
    rng = np.random.default_rng(0)
    return Trajectories(
        states=rng.normal(size=(3, 5, 4)) * 0.1,
        actions=rng.uniform(-1, 1, size=(3, 4, 1)).astype(np.float32),
        rewards=rng.uniform(size=(3, 4)).astype(np.float32),
        metadata={"task": "cartpole_swingup", "action_repeat": 2},
    )
