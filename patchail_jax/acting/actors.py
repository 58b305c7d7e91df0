"""The environments of a run, stepped with the actions that the policy has chosen."""

from typing import Any

import numpy as np

from patchail_jax.acting.collect import Collector, Pool
from patchail_jax.types import Episode, Specs


class Actors:
    """Plays; ``lap(part)`` books wall time for "waiting" (for the devices) and "environment"."""

    def __init__(self, pool: Pool, specs: Specs, *, root: tuple[int, ...], lap: Any) -> None:
        self.num_envs = pool.num_envs
        self._lap = lap
        self._collector = Collector(pool, frame_stack=specs.frame_stack, action_size=specs.action_size, root=root)
        self.start, self.observations = self._collector.start, self._collector.observations
        self.state, self.load_state = self._collector.state, self._collector.load_state

    @property
    def lost(self) -> int:
        """Episodes that were dropped because their environment died."""
        return self._collector.lost

    def step(self, chosen: Any) -> list[Episode]:
        """One step of every environment with actions ``chosen [num_envs,A]``; the episodes that end with it.

        Waits for the actions only here: the devices have updates to do meanwhile. ``NotFiniteValues`` for actions
        that are no numbers.
        """
        actions = np.asarray(chosen)
        self._lap("waiting")
        self._collector.send(actions)
        finished = self._collector.receive()
        self._lap("environment")
        return [one.episode for one in finished]
