"""The training's own numbers, from the updates to the log: means over ``config.log.every_updates``."""

from collections.abc import Callable

from patchail_jax.devices.data_parallel import NamedScalars
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.run.clock import Clock
from patchail_jax.run.first_steps import FirstSteps
from patchail_jax.run.scalars import Scalars
from patchail_jax.run.stopwatch import Stopwatch
from patchail_jax.run.survival import Survival
from patchail_jax.types import Episode


class Log:
    """Collects scalars and writes their means when they are due.

    ``lost()`` counts episodes lost so far; ``first_steps`` and ``survival`` are None where nothing is told from an
    expert.
    """

    def __init__(
        self,
        metrics: Metrics,
        clock: Clock,
        scalars: Scalars,
        stopwatch: Stopwatch,
        *,
        lost: Callable[[], int],
        first_steps: FirstSteps | None,
        survival: Survival | None = None,
        on: bool,
    ) -> None:
        self.metrics, self.scalars = metrics, scalars
        self._clock, self._stopwatch, self._lost, self._on = clock, stopwatch, lost, on
        self._first_steps, self._survival = first_steps, survival

    def updates(self, scalars: NamedScalars) -> None:
        """Takes in what one call of updates measured; ``FailedUpdate`` when a log line has one that is not finite."""
        self.scalars.updates.append(scalars)
        if self._clock.log_due:
            self.write()

    def episode(self, episode: Episode) -> None:
        """Takes in a finished training episode, with the task's own rewards."""
        self.scalars.returns.append(float(episode.rewards.sum()))
        if self._first_steps is not None:
            self._first_steps.add(episode.frames)
        if self._survival is not None:
            self._survival.add(episode)

    def write(self) -> None:
        """Writes the means since the last call, if anything was measured."""
        if not self.scalars.updates:
            return
        clock = self._clock
        updates = len(self.scalars.updates) * self.scalars.updates_per_call
        means = {**self.scalars.close(clock.update), **self._stopwatch.read(updates), "episode/lost": self._lost()}
        if self._on:
            self.metrics.train(means, frame=clock.frame, update=clock.update, hour=clock.hours)
        if self._first_steps is not None and "discriminator/accuracy" in means:
            self._first_steps.check(means["discriminator/accuracy"], update=clock.update)
