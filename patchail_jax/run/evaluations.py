"""The evaluations of a run, one at a time, beside the training where environments have processes of their own."""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from patchail_jax.acting.collect import Pool
from patchail_jax.acting.evaluate import Evaluation, evaluate
from patchail_jax.devices.data_parallel import Devices
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.run.evaluation_outputs import EvaluationOutputs
from patchail_jax.types import Specs

EVALUATION = 1  # what the seed is mixed with; train.py has the others


class _Outcome(NamedTuple):
    """An evaluation and what else was measured with it."""

    evaluation: Evaluation
    scalars: dict[str, float]


class Evaluations:
    """Starts an evaluation, says when it is done, and logs it at the frame at which it was started."""

    def __init__(
        self,
        config: ConfigDict,
        pool: Pool,
        devices: Devices,
        specs: Specs,
        outputs: EvaluationOutputs,
        metrics: Metrics,
    ) -> None:
        self._config, self._pool, self._devices, self._specs = config, pool, devices, specs
        self._outputs, self._metrics = outputs, metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evaluation")
        self._started: tuple[int, Future[_Outcome]] | None = None

    @property
    def done(self) -> bool:
        """Whether an evaluation waits to be finished without a wait."""
        return self._started is not None and self._started[1].done()

    def start(self, parameters: Any, state: Any, *, frame: int) -> None:
        """Scores the mean policy of ``parameters``; ``state`` may be consumed meanwhile."""
        score = functools.partial(self._score, parameters, self._devices.copy(state), frame)
        if self._config.env.workers == "inline":  # an OpenGL context belongs to its thread
            outcome: Future[_Outcome] = Future()
            outcome.set_result(score())
        else:
            outcome = self._thread.submit(score)
        self._started = frame, outcome

    def finish(self, hours: Callable[[], float]) -> Evaluation | None:
        """Waits for the evaluation that is going on, if there is one, and logs it at ``hours()`` of wall time."""
        if self._started is None:
            return None
        (frame, outcome), self._started = self._started, None
        evaluation, scalars = outcome.result()
        self._metrics.evaluation(evaluation.returns, frame=frame, hour=hours(), scalars=scalars)
        return evaluation

    def close(self) -> None:
        """Ends the thread, after what it is doing."""
        self._thread.shutdown(cancel_futures=True)

    def _score(self, parameters: Any, state: Any, frame: int) -> _Outcome:
        evaluation = evaluate(
            self._pool,
            functools.partial(self._devices.exploit, parameters),
            episodes=self._config.evaluation.episodes,
            specs=self._specs,
            root=(self._config.seed, EVALUATION),
        )
        return _Outcome(evaluation, self._outputs.write(state, evaluation, self._metrics, frame=frame))
