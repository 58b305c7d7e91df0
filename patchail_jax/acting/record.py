"""Episodes of a policy as demonstrations."""

from collections.abc import Callable
from typing import Any

import numpy as np

from patchail_jax.acting.collect import Collector
from patchail_jax.demos.form import Demonstration, Trajectories, assemble
from patchail_jax.envs.outcome import Outcome
from patchail_jax.envs.workers import InlinePool
from patchail_jax.types import Specs


class _Remembering:
    """An environment that keeps what a recording takes of every step, an episode a list."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self.action_size: int = environment.action_size
        self.renderer: str | None = environment.renderer
        self.episodes: list[list[np.ndarray]] = []

    def reset(self, seed: int) -> Outcome:
        outcome: Outcome = self._environment.reset(seed)
        self.episodes.append([self._environment.recorded()])
        return outcome

    def step(self, action: np.ndarray) -> Outcome:
        outcome: Outcome = self._environment.step(action)
        self.episodes[-1].append(self._environment.recorded())
        return outcome

    def close(self) -> None:
        self._environment.close()


def record(
    environment: Any,
    act: Callable[[np.ndarray], np.ndarray],
    *,
    episodes: int,
    specs: Specs,
    root: tuple[int, ...],
    metadata: dict[str, Any],
    report: Callable[[int, float], None],
) -> Trajectories:
    """The first ``episodes`` episodes of ``root`` with ``act(observations [1,...]) -> actions [1,A]``, none left out.

    The physics' states where the environment has them, else its frames without the look (``envs/look.py``).
    ``report(number, return)`` is called when an episode is over.
    """
    remembering = _Remembering(environment)
    pool = InlinePool(lambda: remembering, 1)
    collector = Collector(pool, frame_stack=specs.frame_stack, action_size=specs.action_size, root=root)
    collector.start()
    done: list[Demonstration] = []
    while len(done) < episodes:
        collector.send(np.clip(act(collector.observations()), -1.0, 1.0))
        for number, episode in collector.receive():
            seen, remembering.episodes[number] = np.stack(remembering.episodes[number]), []
            done.append(Demonstration(seen, episode.actions, episode.rewards))
            report(number, float(episode.rewards.sum(dtype=np.float64)))
    return assemble(done, metadata, name="the recording")
