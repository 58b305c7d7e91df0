"""What has been measured since the last log line, and the check for numbers that are not finite."""

import logging
from typing import Any

import numpy as np

from patchail_jax.devices.data_parallel import NamedScalars, fetch
from patchail_jax.errors import NotFiniteValues

_log = logging.getLogger(__name__)

_AT_BOUNDS = 0.999  # mean magnitude of mean actions, which are in (-1, 1): the gradient of tanh is 0.002 there
_MEND = "Lower the learning rates, or set config.network.precision=float32"


class FailedUpdate(NotFiniteValues):
    """An update gave a number that is not finite: ``first`` is the first of its call, ``metrics`` what it gave."""

    def __init__(self, message: str, *, first: int, metrics: dict[str, float]) -> None:
        super().__init__(message)
        self.first, self.metrics = first, metrics


class Scalars:
    """Scalars of the updates and returns of the training episodes since the last log line.

    The updates' scalars stay on the device until they are needed: fetching them would wait for the learner.
    """

    def __init__(self, *, updates_per_call: int) -> None:
        self.updates_per_call = updates_per_call
        self.updates: list[NamedScalars] = []
        self.returns: list[float] = []
        self._saturated = False  # whether the log has said that the actor is

    def _fetch(self) -> tuple[tuple[str, ...], np.ndarray]:
        """The names and the values ``[calls, M]``."""
        self.updates = fetch(self.updates)
        return self.updates[0].names, np.stack([scalars.values for scalars in self.updates])

    def check_finite(self, update: int) -> None:
        """``FailedUpdate`` names the first update, of the ones up to ``update``, with a scalar that is not finite."""
        if not self.updates:
            return
        names, values = self._fetch()
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            call, column = bad[0]
            number = update - (len(values) - 1 - call) * self.updates_per_call
            raise FailedUpdate(
                f"{names[column]} is {values[call, column]} at update {number}: training stopped, and the last "
                f"checkpoint is kept. {_MEND}",
                first=number - self.updates_per_call,
                metrics=dict(zip(names, values[call].tolist(), strict=True)),
            )

    def blame(self, found: NotFiniteValues, update: int) -> FailedUpdate:
        """The update that broke what ``found`` tells of: the first with a scalar that is not finite, else the newest.

        What an update measures is of the networks before it, so that the newest may have broken them unseen.
        """
        if isinstance(found, FailedUpdate):
            return found
        try:
            self.check_finite(update)
        except FailedUpdate as named:
            return named
        metrics = {}
        if self.updates:
            names, values = self._fetch()
            metrics = dict(zip(names, values[-1].tolist(), strict=True))
        message = f"{found} after update {update}: training stopped, and the last checkpoint is kept. {_MEND}"
        return FailedUpdate(message, first=update - self.updates_per_call, metrics=metrics)

    def close(self, update: int) -> dict[str, float]:
        """Returns the means and empties the interval. Warns once if the actor has saturated."""
        self.check_finite(update)
        names, values = self._fetch()
        means = dict(zip(names, values.mean(axis=0, dtype=np.float64).tolist(), strict=True))
        if self.returns:
            means["episode/training_return"] = float(np.mean(self.returns))
        at_bounds = means.get("actor/mean_magnitude", 0.0) > _AT_BOUNDS
        if (at_bounds or means.get("actor/gradient_norm") == 0) and not self._saturated:
            self._saturated = True
            _log.warning(
                "the actor's gradient has been near 0 for %d updates: its actions are at their bounds, and it learns "
                "no more. Start again with a larger config.agent.preactivation_penalty (0.03 keeps small actors off "
                "their bounds), or a lower actor_learning_rate",
                len(values) * self.updates_per_call,
            )
        self.updates, self.returns = [], []
        return means

    def state(self) -> dict[str, Any]:
        """For a checkpoint: a restarted run's next log line covers the same updates."""
        if not self.updates:
            return {"names": [], "values": np.zeros((0, 0), np.float32), "returns": np.asarray(self.returns)}
        names, values = self._fetch()
        return {"names": list(names), "values": values, "returns": np.asarray(self.returns)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over the interval of ``state``."""
        names = tuple(state["names"])
        self.updates = [NamedScalars(row, names) for row in np.asarray(state["values"])]
        self.returns = [float(value) for value in state["returns"]]
