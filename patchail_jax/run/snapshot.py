"""A run saved and restored: everything that it needs to go on as if it had not been stopped."""

import contextlib
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from patchail_jax.acting.actors import Actors
from patchail_jax.devices.data_parallel import fetch
from patchail_jax.devices.hosts import Hosts
from patchail_jax.errors import NotFiniteValues, UserError
from patchail_jax.files import npz
from patchail_jax.run.clock import Clock
from patchail_jax.run.evaluations import Evaluations
from patchail_jax.run.experience import Experience
from patchail_jax.run.learner import Learner
from patchail_jax.run.log import Log
from patchail_jax.run.scalars import FailedUpdate
from patchail_jax.run.stopwatch import Stopwatch
from patchail_jax.storage.checkpoint_contents import named
from patchail_jax.storage.checkpoints import Checkpoints
from patchail_jax.storage.parameters import write_parameters
from patchail_jax.storage.run_folder import RunFolder, finished_frames
from patchail_jax.types import all_finite

_log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """What is saved, and where to. ``push()`` is called when something worth keeping has been written.

    ``begin()`` is called where there is nothing to resume from, and may refuse: the folder stays as it was.
    ``renderer`` is what draws the agent's frames, None where it is not this program's.
    """

    clock: Clock
    learner: Learner
    experience: Experience
    actors: Actors
    evaluations: Evaluations
    log: Log
    stopwatch: Stopwatch
    checkpoints: Checkpoints
    folder: RunFolder
    hosts: Hosts
    config: dict[str, Any]
    push: Callable[[], None]
    begin: Callable[[], None]
    renderer: str | None = None

    def save(self, *, stopping: bool = False) -> bool:
        """Writes a checkpoint, after making sure that it is worth keeping: ``NotFiniteValues`` if it is not.

        Returns whether all processes have it on disk: not where a disk did not take it, which has been warned of.

        ``stopping`` waits for no evaluation: the one that is going on is made again after the resume. The one of the
        last frame is of the state that is saved, and is not saved beside it.
        """
        clock = self.clock
        clock.checkpoint_made()
        suspended = None
        if stopping:
            suspended = self.evaluations.suspend()
        else:
            self.evaluations.finish()
        self.log.scalars.check_finite(clock.update)
        state = fetch(self.learner.state)
        if not all_finite(jax.tree.leaves(state)):
            raise NotFiniteValues("the learner's state has values that are not finite")
        host = {
            "clock": clock.state(),
            "scalars": self.log.scalars.state(),
            "actors": self.actors.state(),
            "replay": self.experience.state(),
        }
        if suspended is not None and suspended["frame"] < clock.frame:
            host["evaluation"] = suspended
        with self.hosts.refused_together():
            self._require_folder()
            here = self.checkpoints.save(clock.number, state=state, host=host)
        saved = self.hosts.smallest(int(here)) == 1
        if here and not saved:  # if it stayed, older ones would go that all processes have
            self.checkpoints.discard(clock.number, "another process of this run could not write its own")
        if saved:
            _log.info("checkpoint at %d frames, %d steps in replay", clock.frame, self.experience.transitions)
            self.push()
        self.stopwatch.lap("checkpoint")
        return saved

    def _require_folder(self) -> None:
        """Makes the run folder anew where somebody has removed it, with a warning; ``UserError`` if it is another's."""
        with contextlib.suppress(OSError):  # a disk that takes nothing: the checkpoint says so
            if self.folder.hold():
                return
            _log.warning(
                "%s was removed while the run went on: what it had written is lost, and the folder is made anew",
                self.folder.path,
            )
            self.folder.describe(self.config, renderer=self.renderer)

    def keep_parameters(self) -> None:
        """Writes the parameters alone, for whoever looks back; they are the same in every process."""
        self.clock.parameters_kept()
        if self.hosts.process == 0:
            self.folder.refuse_another()
            write_parameters(self.folder.parameters, self.clock.number, fetch(self.learner.state))
            self.push()
        self.stopwatch.lap("checkpoint")

    @property
    def finished(self) -> bool:
        """Whether the run has come to its last frame and the folders of all processes say that it has ended."""
        marked = finished_frames(self.folder.path) >= self.config["num_frames"]
        return self.clock.finished and self.hosts.smallest(int(marked)) == 1

    def restore(self) -> bool:
        """Resumes from the newest checkpoint; False if there is none. Then the folder says what the run resumes with.

        ``UserError`` where the checkpoint does not fit the config, and where a finished run's are gone: the folder
        stays as it was.
        """
        restored = self.checkpoints.restore(fetch(self.learner.state), replay=self.experience, gather=self.hosts.gather)
        if restored is None:
            if finished_frames(self.folder.path):
                raise UserError(
                    f"{self.folder.path} is a finished run whose checkpoints are gone: nothing can be resumed. "
                    "Choose another config.run_folder, or remove this one to train anew"
                )
            self.begin()
            self.checkpoints.begin_anew()
            self.log.metrics.begin()
            self.folder.describe(self.config, renderer=self.renderer)
            return False
        state, host, _ = restored
        self.learner.load(state)
        self.clock.load_state(host["clock"])
        self.log.scalars.load_state(host["scalars"])
        self.actors.load_state(host["actors"])
        clock, suspended = self.clock, host.get("evaluation")
        finished = self.finished  # asked once: all processes gather for it, and one alone has an evaluation
        if not finished:
            from_frame = int(suspended["frame"]) if suspended else clock.next_evaluation_frame
            if clock.finished:  # the last evaluation, wherever it was cut
                from_frame = min(from_frame, clock.frame)
            self.log.metrics.rewind(clock.frame, update=clock.update, next_evaluation_frame=from_frame)
            self.folder.describe(self.config, renderer=self.renderer, resumed=True)
        _log.info("resumed at %d frames, %d updates, from %s", clock.frame, clock.update, self.folder.checkpoints)
        if suspended and not finished:
            self.evaluations.resume(suspended, self.learner)
        return True

    def write_batch(self, error: FailedUpdate) -> UserError:
        """Writes what the failed update saw and gave, for inspection; the same error, with the file's name."""
        path = self.folder.path / f"batch_of_update_{error.first}.npz"
        batch = self.experience.recall(error.first)
        if batch is None:
            return UserError(f"{error}. Its batch is no longer in memory: lower config.log.every_updates to see it")
        try:
            npz.write(path, named(batch) | {f"metrics/{name}": np.asarray(it) for name, it in error.metrics.items()})
        except OSError as trouble:
            return UserError(f"{error}. Its batch cannot be written to {path} ({trouble.strerror or trouble})")
        return UserError(f"{error}. Its batch is in {path}")
