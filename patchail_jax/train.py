"""The loop, Algorithm 1 of the paper; long because it is the one module that wires the host to the devices.

In an iteration, at a counter of agent steps:

1. checkpoint and evaluate, if it is time; evaluations run beside the training where workers are processes;
2. choose actions with the newest policy (Algorithm 1, line 3);
3. draw batches and dispatch the updates that are due (lines 5 to 8): the devices work on them during the rest;
4. send the actions to the environments and take in the step; label finished episodes and store them (line 4).

Every random draw is a function of the seed and of these counters, so a run that was killed goes on as if it had not
been.
"""

import logging
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.acting.collect import Collector
from patchail_jax.acting.evaluate import Evaluation
from patchail_jax.acting.label import label
from patchail_jax.devices.data_parallel import Devices, acting_key, fetch
from patchail_jax.devices.frames_on_devices import FramesOnDevices, fits
from patchail_jax.devices.hosts import Hosts
from patchail_jax.devices.profiler import Profiler
from patchail_jax.envs.rendering import choose_backend
from patchail_jax.errors import UserError
from patchail_jax.outputs.failed_batch import write_failed_batch
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.programs.interruption import Interruption
from patchail_jax.replay.prefetch import Prefetch
from patchail_jax.replay.ring import Ring, nbytes
from patchail_jax.replay.stream import NoExperts, Stream
from patchail_jax.run.evaluation_outputs import EvaluationOutputs
from patchail_jax.run.evaluations import Evaluations
from patchail_jax.run.parts import (
    check_divisibility,
    check_fit,
    environment_factory,
    load_experts,
    make_method,
    make_pool,
    make_specs,
    ring_slots,
)
from patchail_jax.run.scalars import NotFinite, Progress, Stopwatch, Window
from patchail_jax.storage.checkpoints import Checkpoints
from patchail_jax.storage.memory import require_memory
from patchail_jax.storage.run_folder import RunFolder

_log = logging.getLogger(__name__)

# What the seed is mixed with, so that no two purposes draw the same numbers.
TRAINING, BATCHES = 0, 2  # EVALUATION, in evaluations.py, is 1; RECORDING, in record.py, 3

ALONE, NO_PROFILE = Hosts(), Profiler(None)
STEPS_BETWEEN_AGREEMENTS = 32  # of several processes on whether to stop


class Training:
    """One run, from its config to its last checkpoint."""

    def __init__(
        self,
        config: ConfigDict,
        run: RunFolder,
        metrics: Metrics,
        resources: ExitStack,
        hosts: Hosts = ALONE,
        profiler: Profiler = NO_PROFILE,
        push: Callable[[], None] = lambda: None,
    ) -> None:
        self.profiler, self.push = profiler, push
        self.config, self.run, self.metrics, self.hosts = config, run, metrics, hosts
        _log.info("rendering: %s", choose_backend())
        make_environment = environment_factory(config)
        workers = config.env.workers
        self.pool = make_pool(make_environment, config.env.num_envs, workers)
        resources.callback(self.pool.close)
        self.evaluation_pool = make_pool(make_environment, config.evaluation.num_envs, workers)
        resources.callback(self.evaluation_pool.close)
        self.specs = make_specs(config, self.pool.action_size)
        self.method = make_method(config, self.specs)
        self.devices = Devices(self.method, self.specs, count=config.devices)
        _log.info("learner: %d x %s", self.devices.count, self.devices.devices[0].device_kind)
        check_divisibility(config, self.devices.count * hosts.processes)

        slots = ring_slots(config)
        _log.info(require_memory(nbytes(slots, self.specs)))  # before minutes go into rendering
        check_fit(config, self.method, hosts.processes)
        self.experts = None
        if not self.method.uses_task_reward:
            self.experts = load_experts(config, self.specs.action_size, with_actions=self.method.reads_actions)
        self.ring = Ring(capacity=slots, specs=self.specs)
        self.stream = self.make_stream(config.replay.batch_size if self.method.plays else 0)
        self.mirror = self.make_mirror()
        draw = self.stream.batches if self.mirror else self.stream.pixel_batches
        self.batches = Prefetch(draw, updates_per_call=config.replay.updates_per_call)
        resources.callback(self.batches.close)
        self.collector = Collector(
            self.pool,
            frame_stack=config.env.frame_stack,
            action_size=self.specs.action_size,
            root=(config.seed, TRAINING, hosts.process),
        )
        self.checkpoints = Checkpoints(run.checkpoints, keep=config.checkpoint.keep)
        self.progress, self.window = (
            Progress(next_checkpoint_frame=config.checkpoint.every_frames),
            Window(updates_per_call=config.replay.updates_per_call),
        )
        self.state = self.devices.init(config.seed)
        if hosts.processes > 1:
            self.state = self.devices.place(hosts.first(fetch(self.state)))
        self.demonstrations = None
        if self.method.score_episode and self.experts:
            self.demonstrations = self.devices.place((self.experts.frames, self.experts.steps))
        self.ready = False  # whether every process has something to learn from
        self.stopwatch = Stopwatch()
        outputs = EvaluationOutputs(config, self.method, self.devices, self.experts, run)
        self.evaluations = Evaluations(config, self.evaluation_pool, self.devices, self.specs, outputs, metrics)
        resources.callback(self.evaluations.close)
        self.started = time.monotonic()

    def make_stream(self, batch_size: int) -> Stream:
        """Batches of ``batch_size`` windows from replay and the config's number of expert pairs."""
        config = self.config
        return Stream(
            self.ring,
            self.experts or NoExperts(self.ring.frames.shape[1:]),
            batch_size=batch_size // self.hosts.processes,
            expert_batch_size=config.replay.expert_batch_size // self.hosts.processes,
            frame_stack=config.env.frame_stack,
            devices=self.devices.count,
            updates_per_call=config.replay.updates_per_call,
            whole_demonstration=self.method.reads_demonstration,
            root=(config.seed, BATCHES, self.hosts.process),
            process=self.hosts.process,
            remembered=config.log.every_updates + 1,  # one may be drawn ahead
        )

    def make_mirror(self) -> FramesOnDevices | None:
        """The frames of replay and demonstrations on the devices, where there is room; None: streamed from the host."""
        frames = self.ring.frames
        experts = np.zeros((0, *frames.shape[1:]), frames.dtype)
        if self.experts is not None:
            experts = self.experts.frames.reshape(-1, *frames.shape[1:])
        count = self.ring.slots + len(experts)
        devices = self.devices.devices
        on_device, line = fits(self.config.replay.frames_on_device, count * frames[0].nbytes, devices)
        _log.info(line)
        if not on_device:
            return None
        mirror = FramesOnDevices(count, frames.shape[1:], frames.dtype, devices=devices)
        mirror.write(np.arange(self.ring.slots, count), experts)
        return mirror

    # -- counters ---------------------------------------------------------------------------------------------------

    @property
    def frame(self) -> int:
        """Frames that all processes have played; where a method plays none, those that go with its updates."""
        return self.progress.agent_step * self.config.env.action_repeat

    def next_multiple(self, every: int) -> int:
        """The first multiple of ``every`` frames that is still to come."""
        return (self.frame // every + 1) * every

    def updates_due(self) -> int:
        """Updates that should have been made by now: one every ``steps_per_update`` steps of all environments."""
        agent, before = self.config.agent, self.config.cloning.pretraining_updates
        since = self.progress.agent_step - agent.first_update_step
        if since < 0:
            return 0
        if not self.ready:  # every process must have something to learn from
            self.ready = bool(self.hosts.gather(int(len(self.ring) > 0 or not self.method.plays)).all())
        return before + since // agent.steps_per_update + 1 if self.ready else 0

    # -- the loop ---------------------------------------------------------------------------------------------------

    def loop(self, interruption: Interruption) -> Evaluation | None:
        """Runs to ``config.num_frames``; returns the last evaluation, None if an earlier start had come that far.

        ``KeyboardInterrupt`` with the signal's number after a signal's save.
        """
        config, progress = self.config, self.progress
        resumed = self.resume()
        self.run.describe(config.to_dict())
        if not resumed:
            self.collector.start()
        elif self.frame >= config.num_frames:
            _log.info("this run is finished; to go on with it, raise config.num_frames")
            return None
        self.pretrain(interruption)
        parameters = self.devices.publish(self.state)
        while True:
            finished, stop = self.frame >= config.num_frames, self.asked_to_stop(interruption)
            if not finished and (stop or self.frame >= progress.next_checkpoint_frame):
                # Before the evaluation that may be due now: a run that goes on from here makes it then.
                self.save()
            if stop:
                raise KeyboardInterrupt(interruption.signal_number or signal.SIGTERM)
            if finished or self.frame >= progress.next_evaluation_frame:
                self.start_evaluation(parameters)
            if finished:
                evaluation = self.finish_evaluation()
                self.save()
                return evaluation
            if self.evaluations.done:
                self.finish_evaluation()
            parameters = self.step(parameters)

    def asked_to_stop(self, interruption: Interruption) -> bool:
        """Whether a signal came, to this process or to any other, which all are told of at the same step."""
        asked = interruption.signal_number is not None
        if self.hosts.processes == 1:
            return asked
        round_of_steps = self.progress.agent_step // (self.pool.num_envs * self.hosts.processes)
        return round_of_steps % STEPS_BETWEEN_AGREEMENTS == 0 and bool(self.hosts.gather(int(asked)).any())

    def pretrain(self, interruption: Interruption) -> None:
        """The updates on the demonstrations alone that come before the first step, up to a signal."""
        wanted = self.config.cloning.pretraining_updates
        if self.progress.update >= wanted:
            return
        stream = self.make_stream(0)
        draw = stream.batches if self.mirror else stream.pixel_batches
        while self.progress.update < wanted and not self.asked_to_stop(interruption):
            self.update(self.devices.pretrain, draw(self.progress.update))
            if self.progress.update == wanted and self.window.updates:
                self.log()  # what comes next is measured by other names

    def update(self, update: Callable[..., Any], batches: Any) -> None:
        """One dispatched call of ``update``, counted and logged."""
        shards = self.mirror.shards if self.mirror else None
        self.state, scalars = update(self.state, batches, shards)
        self.progress.update += self.config.replay.updates_per_call
        self.window.updates.append(scalars)
        self.profiler.tick(self.state)
        self.stopwatch.lap("learner")
        if self.progress.update % self.config.log.every_updates < self.config.replay.updates_per_call:
            self.log()

    def step(self, parameters: Any) -> Any:
        """One step of every environment and the updates it makes due; returns the newest acting parameters."""
        config, progress, stopwatch = self.config, self.progress, self.stopwatch
        if self.method.plays:
            key = acting_key(config.seed, progress.agent_step + self.hosts.process)
            chosen = self.devices.explore(parameters, self.collector.observations(), key, progress.agent_step)
            stopwatch.lap("acting")

        before, due, per_call = progress.update, self.updates_due(), config.replay.updates_per_call
        while due - progress.update >= per_call:
            self.update(self.devices.update, self.batches.take(progress.update))
            if config.replay.rescore_updates and progress.update % config.replay.rescore_updates < per_call:
                self.rescore()
        if self.method.plays:
            self.play(chosen)
        progress.agent_step += self.pool.num_envs * self.hosts.processes
        return self.devices.publish(self.state) if progress.update > before else parameters

    def play(self, chosen: Any) -> None:
        """Sends the actions ``chosen [num_envs,A]`` to the environments; stores the episodes that end."""
        progress, stopwatch = self.progress, self.stopwatch
        # Asked for only now: the devices have the next updates to do while the host and the environments work.
        actions = np.asarray(chosen)
        stopwatch.lap("waiting")
        if not np.isfinite(actions).all():
            self.window.check_finite(progress.update)
            raise UserError(f"the policy gives actions that are not finite at step {progress.agent_step}")
        self.collector.send(actions)
        episodes = self.collector.receive()
        stopwatch.lap("environment")
        for finished in episodes:
            labelled = label(
                finished.episode,
                uses_task_reward=self.method.uses_task_reward,
                score=self.score,
            )
            self.batches.drop()
            slots = self.ring.add(labelled)
            if self.mirror:
                self.mirror.write(slots, labelled.frames)
            self.window.returns.append(float(finished.episode.rewards.sum()))
        stopwatch.lap("labelling")

    def score(self, frames: np.ndarray) -> np.ndarray | None:
        """Rewards ``[T]`` of a finished episode's frames ``[T+1,H,W,3]``, or None where replay needs none."""
        if self.demonstrations is None:
            return self.devices.score(self.state, frames)
        self.state, rewards = self.devices.score_episode(self.state, frames, *self.demonstrations)
        return rewards

    def rescore(self) -> None:
        """Scores all of replay with the discriminator as it is now."""

        def score(frames: np.ndarray) -> np.ndarray:
            rewards = self.devices.score(self.state, frames)
            assert rewards is not None  # building.check_fit
            return rewards

        self.batches.drop()
        self.ring.rescore(score)
        self.stopwatch.lap("labelling")

    # -- outputs ----------------------------------------------------------------------------------------------------

    def hours(self) -> float:
        """Wall time of the run, that before a restart included."""
        return self.progress.hours + (time.monotonic() - self.started) / 3600

    def start_evaluation(self, parameters: Any) -> None:
        """Scores the mean policy, in a thread beside the training where environments have processes of their own."""
        self.finish_evaluation()
        self.progress.next_evaluation_frame = self.next_multiple(self.config.evaluation.every_frames)
        if self.hosts.process:  # one process is enough
            return
        self.evaluations.start(parameters, self.state, frame=self.frame)

    def finish_evaluation(self) -> Evaluation | None:
        """Waits for the evaluation that is going on, if there is one, and logs it."""
        evaluation = self.evaluations.finish(self.hours)
        if evaluation is not None:
            self.push()
            self.stopwatch.lap("evaluation")
        return evaluation

    def log(self) -> None:
        """The means over the updates since the last call; ``UserError`` names the first update that is not finite."""
        updates = len(self.window.updates) * self.config.replay.updates_per_call
        scalars = {**self.window.close(self.progress.update), **self.stopwatch.read(updates)}
        scalars["episode/lost"] = self.collector.lost
        self.metrics.train(scalars, frame=self.frame, update=self.progress.update, hour=self.hours())

    def write_batch(self, error: NotFinite) -> UserError:
        """Writes what the failed update saw and gave, for inspection; the same error, with the file's name."""
        path = self.run.path / f"batch_of_update_{error.first}.npz"
        batch = self.stream.recall(error.first)
        if batch is None:
            return error
        write_failed_batch(path, batch, error.metrics)
        return UserError(f"{error}. Its batch is in {path}")

    def save(self) -> None:
        """Everything the run needs to go on, after making sure that it is worth keeping."""
        self.progress.next_checkpoint_frame = self.next_multiple(self.config.checkpoint.every_frames)
        self.finish_evaluation()
        self.window.check_finite(self.progress.update)
        host = {
            "progress": self.progress.state(hours=self.hours()),
            "window": self.window.state(),
            "collector": self.collector.state(),
            "replay": self.ring.state(),
        }
        if self.checkpoints.save(self.progress.agent_step, state=fetch(self.state), host=host):
            _log.info("checkpoint at %d frames, %d transitions in replay", self.frame, self.ring.transitions)
            self.push()
        self.stopwatch.lap("checkpoint")

    def resume(self) -> bool:
        """Goes on from the newest checkpoint, if there is one."""
        restored = self.checkpoints.restore(fetch(self.state), agree=self.hosts.smallest)
        if restored is None:
            self.metrics.rewind(-1, update=0, next_evaluation_frame=0)
            return False
        state, host, _ = restored
        self.state = self.devices.place(state)
        self.progress.load_state(host["progress"])
        self.window.load_state(host["window"])
        self.collector.load_state(host["collector"])
        self.batches.drop()
        self.ring.load_state(host["replay"])
        if self.mirror:
            slots = self.ring.used_slots()
            self.mirror.write(slots, self.ring.frames[slots])
        self.metrics.rewind(
            self.frame, update=self.progress.update, next_evaluation_frame=self.progress.next_evaluation_frame
        )
        _log.info("resumed at %d frames, %d updates, from %s", self.frame, self.progress.update, self.run.checkpoints)
        return True
