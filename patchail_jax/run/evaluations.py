"""The evaluations of a run, one at a time, beside the training where environments have processes of their own."""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from patchail_jax.acting.collect import Pool
from patchail_jax.acting.evaluate import Evaluation, evaluate
from patchail_jax.devices.data_parallel import Devices
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.run.clock import Clock
from patchail_jax.run.evaluation_outputs import EvaluationOutputs
from patchail_jax.run.learner import Learner
from patchail_jax.run.stopwatch import Stopwatch
from patchail_jax.types import Purpose, Specs


class Contest(NamedTuple):
    """What is played: ``episodes`` on the environments of ``pool``, the same starts each time."""

    pool: Pool
    specs: Specs
    episodes: int
    seed: int


class _Outcome(NamedTuple):
    """An evaluation and what else was measured with it."""

    evaluation: Evaluation
    scalars: dict[str, float]


class Evaluations:
    """Starts an evaluation, says when it is done, and logs it at the frame at which it was started.

    ``beside``: in a thread beside the training; else at once (an OpenGL context belongs to its thread). ``leads`` is
    whether this process evaluates for all. ``push()`` is called when one has been logged.
    """

    def __init__(
        self,
        contest: Contest,
        devices: Devices,
        outputs: EvaluationOutputs,
        metrics: Metrics,
        clock: Clock,
        stopwatch: Stopwatch,
        *,
        beside: bool,
        leads: bool,
        push: Callable[[], None],
    ) -> None:
        self._contest, self._devices, self._outputs, self._metrics = contest, devices, outputs, metrics
        self._clock, self._stopwatch, self._beside, self._leads, self._push = clock, stopwatch, beside, leads, push
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="evaluation")
        self._started: tuple[int, Future[_Outcome]] | None = None

    def start(self, learner: Learner) -> None:
        """Scores the newest mean policy, after the evaluation that may still be going on."""
        self.finish()
        self._clock.evaluation_made()
        if not self._leads:
            return
        frame = self._clock.frame
        score = functools.partial(self._score, learner.policy, self._devices.copy(learner.state), frame)
        if self._beside:
            outcome = self._thread.submit(score)
        else:
            outcome = Future()
            outcome.set_result(score())
        self._started = frame, outcome

    def log_what_is_done(self) -> None:
        """Logs an evaluation that has finished and has not been logged; waits for none."""
        if self._started is not None and self._started[1].done():
            self.finish()

    def finish(self) -> Evaluation | None:
        """Waits for the evaluation that is going on, if there is one, and logs it."""
        if self._started is None:
            return None
        (frame, outcome), self._started = self._started, None
        evaluation, scalars = outcome.result()
        self._metrics.evaluation(evaluation.returns, frame=frame, hour=self._clock.hours, scalars=scalars)
        self._push()
        self._stopwatch.lap("evaluation")
        return evaluation

    def close(self) -> None:
        """Ends the thread, after what it is doing."""
        self._thread.shutdown(cancel_futures=True)

    def _score(self, policy: Any, state: Any, frame: int) -> _Outcome:
        pool, specs, episodes, seed = self._contest
        act = functools.partial(self._devices.exploit, policy)
        evaluation = evaluate(pool, act, episodes=episodes, specs=specs, root=(seed, Purpose.EVALUATION))
        return _Outcome(evaluation, self._outputs.write(state, evaluation, self._metrics, frame=frame))
