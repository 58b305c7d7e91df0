"""Where a run stands, and what is due there: every decision of the loop is a function of these counters."""

import math
import time
from collections.abc import Iterator
from typing import Any

from ml_collections import ConfigDict

NEVER = 2**62  # a frame that no run comes to
FIRST_RESCORING = 32  # updates
CATCH_UP = 64  # calls of updates that one step makes of those that were due before it
SILENT_INTERVAL = 500  # updates between two checks for numbers that are not finite, where nothing is logged


class Clock:
    """Counters of one run. Steps are those of all environments and processes together."""

    def __init__(self, config: ConfigDict) -> None:
        self.agent_step = self.update = 0
        self._config, self._per_call = config, config.replay.updates_per_call
        self._next_evaluation = 0 if config.evaluation.every_frames else NEVER
        self._next_checkpoint = self._next_pretrained = NEVER
        self._hours_before, self._began = 0.0, time.monotonic()
        self._pace_from: tuple[int, float] | None = None  # frame and hours
        self.checkpoint_made()
        self.parameters_kept()

    @property
    def number(self) -> int:
        """The number of a checkpoint made now: it grows with every step of the loop, pre-training's updates included.

        Agent steps, behind as many numbers as there are updates of pre-training.
        """
        return min(self.update, int(self._config.cloning.pretraining_updates)) + self.agent_step

    @property
    def frame(self) -> int:
        """Frames that all processes have played; where a method plays none, those that go with its updates."""
        return self.agent_step * int(self._config.env.action_repeat)

    @property
    def hours(self) -> float:
        """Wall time of the run, that before a restart included."""
        return self._hours_before + (time.monotonic() - self._began) / 3600

    @property
    def hours_left(self) -> float:
        """Wall time to the last frame, 0 where nothing says so yet.

        At the pace of this start, counted from its first log interval on: before that, programs are compiled. A
        hundredth of the run must have been played at it.
        """
        frame, hours = self._pace_from or (self.frame, self.hours)
        played, wanted = self.frame - frame, int(self._config.num_frames)
        return (self.hours - hours) * max(0, wanted - self.frame) / played if 100 * played >= max(1, wanted) else 0.0

    @property
    def finished(self) -> bool:
        """Whether the run has come to its last frame."""
        return self.frame >= self._config.num_frames

    @property
    def checkpoint_due(self) -> bool:
        """Whether it is time to save, since the last ``checkpoint_made``."""
        return self.frame >= self._next_checkpoint or (self.pretraining and self.update >= self._next_pretrained)

    @property
    def keeping_due(self) -> bool:
        """Whether it is time to keep the parameters, since the last ``parameters_kept``."""
        return self.frame >= self._next_kept

    @property
    def evaluation_due(self) -> bool:
        """Whether it is time to evaluate, since the last ``evaluation_made``."""
        return self.frame >= self._next_evaluation

    @property
    def next_evaluation_frame(self) -> int:
        """The frame of the next evaluation: what is logged from there on will be logged again."""
        return self._next_evaluation

    @property
    def pretraining(self) -> bool:
        """Whether updates on the demonstrations alone are still to be made."""
        return self.update < self._config.cloning.pretraining_updates

    @property
    def log_due(self) -> bool:
        """Whether the newest updates complete a log interval."""
        return self._completes(log_interval(self._config))

    @property
    def rescoring_due(self) -> bool:
        """Whether replay is to be scored anew after the newest updates: every N of them, and at first more often.

        An untrained discriminator gives everything one reward of any size, which values and actors follow for long.
        So the updates that are powers of two below N are also such moments.
        """
        every = int(self._config.replay.rescore_updates)
        doubled = self.update.bit_length() > max(self.update - self._per_call, FIRST_RESCORING - 1).bit_length()
        return self._completes(every) or (self.update < every and doubled)

    @property
    def learns(self) -> bool:
        """Whether the first update has come, if there is something to learn from."""
        return self.agent_step >= self._config.agent.first_update_step

    def next_updates(self) -> int:
        """Counts one call of updates; the number of its first."""
        unknown = self._pace_from is None and not self.pretraining
        first, self.update = self.update, self.update + self._per_call
        if unknown and self.log_due:
            self._pace_from = self.frame, self.hours
        return first

    def updates_due(self, *, steps: int) -> Iterator[int]:
        """Calls of updates that should have been made by now, by ``next_updates``: one update every few steps.

        At most as many as ``steps`` steps make due, and ``CATCH_UP`` more, or what leaves none when the run ends: a
        stop is not heard between them.
        """
        agent = self._config.agent
        since = self.agent_step - agent.first_update_step
        due = self._config.cloning.pretraining_updates + since // agent.steps_per_update + 1
        left = math.ceil((self._config.num_frames / self._config.env.action_repeat - self.agent_step) / steps)
        behind = math.ceil((due - self.update) / self._per_call / max(left, 1))
        for _ in range(math.ceil(steps / agent.steps_per_update / self._per_call) + max(CATCH_UP, behind)):
            if due - self.update < self._per_call:
                return
            yield self.next_updates()

    def advance(self, steps: int) -> None:
        """Counts ``steps`` agent steps."""
        self.agent_step += steps

    def evaluation_made(self) -> None:
        """The next one is due at the next multiple of ``evaluation.every_frames``."""
        self._next_evaluation = self._next_multiple(self._config.evaluation.every_frames)

    def checkpoint_made(self) -> None:
        """The next one is due at the next multiple of ``checkpoint.every_frames``, or ``every_updates``."""
        every = self._config.checkpoint.every_updates
        self._next_checkpoint = self._next_multiple(self._config.checkpoint.every_frames)
        self._next_pretrained = (self.update // every + 1) * every if every else NEVER

    def parameters_kept(self) -> None:
        """The next ones are due at the next multiple of ``checkpoint.keep_every_frames``."""
        self._next_kept = self._next_multiple(self._config.checkpoint.keep_every_frames)

    def state(self) -> dict[str, Any]:
        """For a checkpoint, with the wall time up to now."""
        return {
            "agent_step": self.agent_step,
            "update": self.update,
            "next_evaluation_frame": self._next_evaluation,
            "keeping_due": self.keeping_due,
            "hours": self.hours,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over every counter of ``state``."""
        self.agent_step, self.update = int(state["agent_step"]), int(state["update"])
        self._next_evaluation = int(state["next_evaluation_frame"])
        self._hours_before, self._began = float(state["hours"]), time.monotonic()
        self._pace_from = None
        self.checkpoint_made()
        self.parameters_kept()
        if state.get("keeping_due"):  # older checkpoints do not say
            self._next_kept = self.frame

    def _completes(self, every: int) -> bool:
        return bool(every) and self.update % every < self._per_call

    def _next_multiple(self, every: int) -> int:
        return (self.frame // every + 1) * every if every else NEVER


def log_interval(config: ConfigDict) -> int:
    """Updates between two looks at what was measured, also where none is logged."""
    return int(config.log.every_updates) or SILENT_INTERVAL


def agent_step_of(number: int, config: ConfigDict) -> int:
    """The agent step at which the checkpoint ``number`` was made."""
    return max(number - int(config.cloning.pretraining_updates), 0)
