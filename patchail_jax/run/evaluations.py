"""The evaluations of a run, one at a time, beside the training where environments have processes of their own."""

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import jax
import numpy as np

from patchail_jax.acting.collect import Pool
from patchail_jax.acting.evaluate import Evaluation, evaluate
from patchail_jax.devices.data_parallel import Devices, fetch
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


class _Abandoned(Exception):
    """The run is ending: nobody waits for this evaluation any more."""


class _Started(NamedTuple):
    """An evaluation that is going on: of which frame and which state."""

    frame: int
    state: Any
    outcome: "Future[_Outcome]"


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
        self._started: _Started | None = None
        self._ending = threading.Event()

    def start(self, learner: Learner) -> None:
        """Scores the newest mean policy, after the evaluation that may still be going on."""
        self.finish()
        self._clock.evaluation_made()
        if not self._leads:
            return
        self._begin(self._clock.frame, learner.policy, self._devices.copy(learner.state))

    def suspend(self) -> dict[str, Any] | None:
        """Gives the evaluation up that is going on, at once; what ``resume`` needs to make it again."""
        if self._started is None or self._started.outcome.done():
            self.finish()
            return None
        frame, state, _ = self._started
        self._ending.set()
        self._started = None
        leaves = fetch(jax.tree.leaves(state))
        return {"frame": frame, "state": {str(number): leaf for number, leaf in enumerate(leaves)}}

    def resume(self, suspended: dict[str, Any], learner: Learner) -> None:
        """Makes a suspended evaluation again, with the state that it was of."""
        stored = suspended["state"]
        leaves = [np.asarray(stored[str(number)]) for number in range(len(stored))]
        state = self._devices.place(jax.tree.unflatten(jax.tree.structure(learner.state), leaves))
        self._begin(int(suspended["frame"]), self._devices.publish(state), state)

    def log_what_is_done(self) -> None:
        """Logs an evaluation that has finished and has not been logged; waits for none."""
        if self._started is not None and self._started.outcome.done():
            self.finish()

    def wait(self, seconds: float) -> bool:
        """Waits no longer than ``seconds`` for the evaluation that is going on; whether none is any more."""
        if self._started is None:
            return True
        return not wait([self._started.outcome], timeout=seconds).not_done

    def finish(self) -> Evaluation | None:
        """Waits for the evaluation that is going on, if there is one, and logs it."""
        if self._started is None:
            return None
        (frame, _, outcome), self._started = self._started, None
        evaluation, scalars = outcome.result()
        clock = self._clock
        self._metrics.evaluation(
            evaluation.returns, frame=frame, hour=clock.hours, hours_left=clock.hours_left, scalars=scalars
        )
        self._push()
        self._stopwatch.lap("evaluation")
        return evaluation

    def close(self) -> None:
        """Ends the thread, and gives up what it is doing."""
        self._ending.set()
        self._thread.shutdown(cancel_futures=True)

    def _begin(self, frame: int, policy: Any, state: Any) -> None:
        score = functools.partial(self._score, policy, state, frame)
        if self._beside:
            outcome = self._thread.submit(score)
        else:
            outcome = Future()
            outcome.set_result(score())
        self._started = _Started(frame, state, outcome)

    def _score(self, policy: Any, state: Any, frame: int) -> _Outcome:
        pool, specs, episodes, seed = self._contest

        def act(observations: np.ndarray) -> np.ndarray:
            if self._ending.is_set():
                raise _Abandoned
            return self._devices.exploit(policy, observations)

        evaluation = evaluate(pool, act, episodes=episodes, specs=specs, root=(seed, Purpose.EVALUATION))
        return _Outcome(evaluation, self._outputs.write(state, evaluation, self._metrics, frame=frame))
