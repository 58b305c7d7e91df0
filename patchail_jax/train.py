"""The loop: Algorithm 1 of the paper, wiring the host's environments and replay to the learner on the devices.

In an iteration, at a counter of agent steps:

1. evaluate, log and checkpoint, if it is time;
2. choose actions with the newest policy and send them to the environments (Algorithm 1, line 3);
3. while they step: draw batches and dispatch the updates that are due (lines 5 to 8);
4. take in the step; label finished episodes and store them (line 4).

Every random draw is a function of the seed and of these counters, so a run that was killed goes on as if it had not
been.
"""

import functools
import inspect
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.acting.collect import Collector
from patchail_jax.acting.evaluate import Evaluation, evaluate
from patchail_jax.acting.label import label
from patchail_jax.demos.expert_set import ExpertSet, load_expert_set
from patchail_jax.demos.render import default_cache_dir
from patchail_jax.devices.data_parallel import Devices, acting_key, fetch
from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.envs.rendering import choose_backend
from patchail_jax.envs.workers import InlinePool, ProcessPool
from patchail_jax.errors import UserError, choose
from patchail_jax.evaluation_outputs import EvaluationOutputs
from patchail_jax.interruption import Interruption
from patchail_jax.methods import METHODS
from patchail_jax.outputs.checkpoints import Checkpoints
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.outputs.run_folder import RunFolder
from patchail_jax.progress import Progress, Window
from patchail_jax.replay.memory import check_memory
from patchail_jax.replay.ring import Ring, nbytes
from patchail_jax.replay.stream import NoExperts, Stream
from patchail_jax.types import Specs

_log = logging.getLogger(__name__)

AnyPool = InlinePool | ProcessPool

# What the seed is mixed with, so that no two purposes draw the same numbers.
TRAINING, EVALUATION, BATCHES = 0, 1, 2


class Training:
    """One run, from its config to its last checkpoint."""

    def __init__(self, config: ConfigDict, run: RunFolder, metrics: Metrics, resources: ExitStack) -> None:
        self.config, self.run, self.metrics = config, run, metrics
        _log.info("rendering: %s", choose_backend())
        make_environment = environment_factory(config)
        workers = config.env.workers
        self.pool = make_pool(make_environment, config.env.num_envs, workers)
        resources.callback(self.pool.close)
        self.evaluation_pool = make_pool(make_environment, config.evaluation.num_envs, workers)
        resources.callback(self.evaluation_pool.close)
        self.specs = Specs(config.env.image_size, config.env.frame_stack, self.pool.action_size, config.replay.n_step)
        self.method = make_method(config, self.specs)
        self.devices = Devices(self.method, self.specs, count=config.devices)
        _log.info("learner: %d x %s", self.devices.count, self.devices.devices[0].device_kind)
        check_divisibility(config, self.devices.count)

        slots = ring_slots(config)
        _log.info(check_memory(nbytes(slots, self.specs)))  # before minutes go into rendering
        self.experts = None if self.method.uses_task_reward else load_experts(config)
        self.ring = Ring(capacity=slots, specs=self.specs)
        self.stream = Stream(
            self.ring,
            self.experts or NoExperts(),
            batch_size=config.replay.batch_size,
            expert_batch_size=config.replay.expert_batch_size,
            frame_stack=config.env.frame_stack,
            devices=self.devices.count,
            updates_per_call=config.replay.updates_per_call,
            root=(config.seed, BATCHES),
        )
        self.collector = Collector(
            self.pool,
            frame_stack=config.env.frame_stack,
            action_size=self.specs.action_size,
            root=(config.seed, TRAINING),
        )
        self.checkpoints = Checkpoints(run.checkpoints, keep=config.checkpoint.keep)
        self.progress, self.window = (
            Progress(next_checkpoint_frame=config.checkpoint.every_frames),
            Window(updates_per_call=config.replay.updates_per_call),
        )
        self.evaluation_outputs = EvaluationOutputs(config, self.method, self.devices, self.experts, run)
        self.state = self.devices.init(config.seed)
        self.started = time.monotonic()

    # -- counters ---------------------------------------------------------------------------------------------------

    @property
    def frame(self) -> int:
        """Frames the environments have played."""
        return self.progress.agent_step * self.config.env.action_repeat

    def updates_due(self) -> int:
        """Updates that should have been made by now: one every ``steps_per_update`` steps of all environments."""
        agent = self.config.agent
        since = self.progress.agent_step - agent.first_update_step
        return since // agent.steps_per_update + 1 if since >= 0 and len(self.ring) else 0

    # -- the loop ---------------------------------------------------------------------------------------------------

    def loop(self, interruption: Interruption) -> Evaluation | None:
        """Runs to ``config.num_frames``; returns the last evaluation, None if an earlier start had come that far.

        ``KeyboardInterrupt`` with the signal's number after a signal's save.
        """
        config, progress = self.config, self.progress
        if not self.resume():
            self.collector.start()
        elif self.frame >= config.num_frames:
            _log.info("this run is finished; to go on with it, raise config.num_frames")
            return None
        parameters = self.devices.publish(self.state)
        while True:
            finished = self.frame >= config.num_frames
            if finished or self.frame >= progress.next_evaluation_frame:
                evaluation = self.evaluate(parameters)
                progress.next_evaluation_frame = self.frame // config.evaluation.every_frames + 1
                progress.next_evaluation_frame *= config.evaluation.every_frames
            stop = interruption.signal_number is not None
            if finished or stop or self.frame >= progress.next_checkpoint_frame:
                progress.next_checkpoint_frame = self.frame // config.checkpoint.every_frames + 1
                progress.next_checkpoint_frame *= config.checkpoint.every_frames
                self.save()
            if finished:
                return evaluation
            if stop:
                raise KeyboardInterrupt(interruption.signal_number)
            parameters = self.step(parameters)

    def step(self, parameters: Any) -> Any:
        """One step of every environment and the updates it makes due; returns the newest acting parameters."""
        config, progress = self.config, self.progress
        key = acting_key(config.seed, progress.agent_step)
        actions = self.devices.explore(parameters, self.collector.observations(), key, progress.agent_step)
        if not np.isfinite(actions).all():
            self.window.check_finite(progress.update)
            raise UserError(f"the policy gives actions that are not finite at step {progress.agent_step}")
        self.collector.send(actions)

        due, per_call = self.updates_due(), config.replay.updates_per_call
        updated = False
        while due - progress.update >= per_call:
            self.state, scalars = self.devices.update(self.state, self.stream.batches(progress.update))
            progress.update += per_call
            self.window.updates.append(scalars)
            if progress.update % config.log.every_updates < per_call:
                self.log()
            updated = True

        for finished in self.collector.receive():
            labelled = label(
                finished.episode,
                uses_task_reward=self.method.uses_task_reward,
                score=functools.partial(self.devices.score, self.state),
            )
            self.ring.add(labelled)
            self.window.returns.append(float(finished.episode.rewards.sum()))
        progress.agent_step += self.pool.num_envs
        return self.devices.publish(self.state) if updated else parameters

    # -- outputs ----------------------------------------------------------------------------------------------------

    def hours(self) -> float:
        """Wall time of the run, that before a restart included."""
        return self.progress.hours + (time.monotonic() - self.started) / 3600

    def evaluate(self, parameters: Any) -> Evaluation:
        """Scores the mean policy and logs it."""
        config = self.config
        evaluation = evaluate(
            self.evaluation_pool,
            functools.partial(self.devices.exploit, parameters),
            episodes=config.evaluation.episodes,
            specs=self.specs,
            root=(config.seed, EVALUATION),
        )
        scalars = self.evaluation_outputs.write(self.state, evaluation, self.metrics, frame=self.frame)
        self.metrics.evaluation(evaluation.returns, frame=self.frame, hour=self.hours(), scalars=scalars)
        return evaluation

    def log(self) -> None:
        """The means over the updates since the last call; ``UserError`` names the first update that is not finite."""
        scalars = self.window.close(self.progress.update)
        self.metrics.train(scalars, frame=self.frame, update=self.progress.update, hour=self.hours())

    def save(self) -> None:
        """Everything the run needs to go on, after making sure that it is worth keeping."""
        self.window.check_finite(self.progress.update)
        host = {
            "progress": self.progress.state(hours=self.hours()),
            "window": self.window.state(),
            "collector": self.collector.state(),
            "replay": self.ring.state(),
        }
        if self.checkpoints.save(self.progress.agent_step, state=fetch(self.state), host=host):
            _log.info("checkpoint at %d frames, %d transitions in replay", self.frame, self.ring.transitions)

    def resume(self) -> bool:
        """Goes on from the newest checkpoint, if there is one."""
        restored = self.checkpoints.restore(fetch(self.state))
        if restored is None:
            self.metrics.rewind(-1)
            return False
        state, host, _ = restored
        self.state = self.devices.place(state)
        self.progress.load_state(host["progress"])
        self.window.load_state(host["window"])
        self.collector.load_state(host["collector"])
        self.ring.load_state(host["replay"])
        self.metrics.rewind(self.frame)
        _log.info("resumed at %d frames, %d updates, from %s", self.frame, self.progress.update, self.run.checkpoints)
        return True


def environment_factory(config: ConfigDict) -> Any:
    """A picklable ``() -> FrameEnvironment`` for worker processes."""
    env = config.env
    return functools.partial(
        FrameEnvironment,
        task=env.task,
        action_repeat=env.action_repeat,
        image_size=env.image_size,
        camera_id=None if env.camera_id < 0 else env.camera_id,
        quality=env.quality,
        episode_frames=env.episode_frames,
    )


def make_pool(make_environment: Any, num_envs: int, workers: str) -> AnyPool:
    """``num_envs`` environments in processes, or in this one."""
    make: dict[str, Callable[[Any, int], AnyPool]] = {"process": ProcessPool, "inline": InlinePool}
    return choose(make, workers, field="env.workers")(make_environment, num_envs)


def make_method(config: ConfigDict, specs: Specs) -> Any:
    """The method's pure functions; each gets the sub-configs that its parameters name."""
    make = METHODS[config.method]
    groups = [name for name in inspect.signature(make).parameters if name != "specs"]
    return make(specs, **{group: config[group].to_dict() for group in groups})


def load_experts(config: ConfigDict) -> ExpertSet:
    """The demonstrations, rendered as the agent's frames are."""
    env, demos = config.env, config.demos
    return load_expert_set(
        task=env.task,
        path=demos.path,
        num_demonstrations=demos.num_demonstrations,
        action_repeat=env.action_repeat,
        image_size=env.image_size,
        camera_id=None if env.camera_id < 0 else env.camera_id,
        quality=env.quality,
        cache_dir=demos.cache_dir or default_cache_dir(),
    )


def ring_slots(config: ConfigDict) -> int:
    """Frame slots for ``replay.capacity`` transitions: an episode of T transitions has T+1 frames."""
    steps = max(config.env.episode_frames // config.env.action_repeat, 1)
    return config.replay.capacity + -(-config.replay.capacity // steps)


def check_divisibility(config: ConfigDict, devices: int) -> None:
    """The batch must fall evenly on devices, and the discriminator's share evenly on the batch."""
    replay = config.replay
    for name in ("batch_size", "expert_batch_size"):
        if replay[name] % devices:
            raise UserError(f"config.replay.{name} is {replay[name]}, which {devices} devices cannot share evenly")
    if replay.batch_size % replay.expert_batch_size:
        raise UserError(
            f"config.replay.batch_size ({replay.batch_size}) must be a multiple of "
            f"expert_batch_size ({replay.expert_batch_size})"
        )
