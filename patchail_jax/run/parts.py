"""The one way down: from a config to the parts of a run, made once and in the order of the data."""

import functools
import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from ml_collections import ConfigDict

from patchail_jax.acting.actors import Actors
from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.demos.first_frames import RESETS
from patchail_jax.devices.data_parallel import Devices, fetch
from patchail_jax.devices.hosts import Hosts
from patchail_jax.devices.profiler import Profiler
from patchail_jax.envs.rendering import choose_backend
from patchail_jax.envs.workers import make_pool
from patchail_jax.maps.explainer import Explainer
from patchail_jax.methods import Method
from patchail_jax.outputs.metrics import Metrics
from patchail_jax.replay.ring import nbytes
from patchail_jax.run.agreement import require_same_renderer
from patchail_jax.run.clock import Clock
from patchail_jax.run.config import refuse_numbers
from patchail_jax.run.design import environment_factory, load_experts
from patchail_jax.run.evaluation_outputs import EvaluationOutputs
from patchail_jax.run.evaluations import Contest, Evaluations
from patchail_jax.run.experience import Experience, make_experience
from patchail_jax.run.first_steps import look_at_first_frames, make_first_steps
from patchail_jax.run.inheritance import inherited
from patchail_jax.run.learner import Learner
from patchail_jax.run.log import Log
from patchail_jax.run.made import made
from patchail_jax.run.scalars import Scalars
from patchail_jax.run.sizes import ring_slots
from patchail_jax.run.snapshot import Snapshot
from patchail_jax.run.stopwatch import Stopwatch
from patchail_jax.run.survival import Survival
from patchail_jax.storage.checkpoints import Checkpoints
from patchail_jax.storage.memory import require_memory
from patchail_jax.storage.run_folder import RunFolder
from patchail_jax.types import Purpose, Specs

_log = logging.getLogger(__name__)


class Parts(NamedTuple):
    """One run, built. What comes later in the order of the data comes later here."""

    config: ConfigDict
    hosts: Hosts
    specs: Specs
    method: Method
    devices: Devices
    experts: ExpertSet | None
    clock: Clock
    learner: Learner
    experience: Experience
    actors: Actors
    explainer: Explainer | None
    """None for a method without a discriminator, or without demonstrations."""
    evaluations: Evaluations
    log: Log
    snapshot: Snapshot


class Surroundings(NamedTuple):
    """What a run is given: its folder, its sinks, and who else trains it."""

    folder: RunFolder
    metrics: Metrics
    hosts: Hosts = Hosts()
    profiler: Profiler = Profiler(None)
    push: Callable[[], None] = lambda: None  # called when something worth keeping has been written


def build(config: ConfigDict, given: Surroundings, resources: ExitStack) -> Parts:
    """Everything that ``train`` needs, made once; ``resources`` closes it.

    ``UserError``, one line, for what ``refusals.refuse`` refuses, and for files, memory and environments.
    """
    refuse_numbers(config)
    folder, metrics, hosts, profiler, push = given
    backend = choose_backend()
    make_environment, inline = environment_factory(config), config.env.workers == "inline"
    pool = make_pool(make_environment, config.env.num_envs, config.env.workers)
    resources.callback(pool.close)
    _log.info("rendering: %s%s", backend, f", {pool.renderer}" if pool.renderer else "")
    require_same_renderer(pool.renderer, hosts, may_differ=config.demos.other_renderer)
    leads, evaluation_pool = hosts.process == 0, pool
    if leads:  # one process evaluates for all
        evaluation_pool = make_pool(make_environment, config.evaluation.num_envs, config.env.workers)
        resources.callback(evaluation_pool.close)
    specs, method, devices = made(config, pool.action_size, processes=hosts.processes)
    _log.info("learner: %d x %s", devices.count, devices.devices[0].device_kind)
    _log.info(require_memory(nbytes(ring_slots(config), specs)))  # before minutes go into rendering
    experts = None
    if not method.needs.task_reward:
        experts = load_experts(config, specs.action_size, method.needs, agent_renderer=pool.renderer)
        if leads and not experts.drawn and not config.env.factory:  # a robot is not reset for this
            look_at_first_frames(experts, evaluation_pool, resets=RESETS)

    stopwatch, clock = Stopwatch(), Clock(config)
    experience = make_experience(config, method, specs, devices, experts, hosts, stopwatch)
    resources.callback(experience.close)
    learner = make_learner(config, method, devices, experts, hosts, stopwatch, profiler)
    root = (config.seed, Purpose.TRAINING, hosts.process)
    actors = Actors(pool, specs, root=root, lap=stopwatch.lap)
    explainer = None
    if method.discriminator is not None and experts is not None:
        explainer = Explainer(method.discriminator, devices, image_size=specs.image_size)
    evaluations = Evaluations(
        Contest(evaluation_pool, specs, config.evaluation.episodes, config.seed),
        devices,
        EvaluationOutputs(folder, devices, explainer, experts, films=config.log.films),
        metrics,
        clock,
        stopwatch,
        beside=not inline,
        leads=leads,
        push=push,
    )
    resources.callback(evaluations.close)
    scalars = Scalars(updates_per_call=config.replay.updates_per_call)
    log = Log(
        metrics,
        clock,
        scalars,
        stopwatch,
        lost=lambda: actors.lost,
        first_steps=make_first_steps(explainer, learner, experts, specs, folder),
        survival=None if method.discriminator is None else Survival(config.reward),
        on=config.log.every_updates > 0,
    )
    # Of several processes one may be killed before another has saved: then all resume from the checkpoint before.
    keep = max(config.checkpoint.keep, 1 if hosts.processes == 1 else 2)
    checkpoints = Checkpoints(folder.checkpoints, keep=keep, processes=hosts.processes)
    resources.callback(checkpoints.close)
    snapshot = Snapshot(
        clock,
        learner,
        experience,
        actors,
        evaluations,
        log,
        stopwatch,
        checkpoints,
        folder,
        hosts,
        config.to_dict(),
        push,
        functools.partial(_begin, config, method, devices, learner, hosts),
        pool.renderer,
    )
    return Parts(
        config, hosts, specs, method, devices, experts, clock, learner, experience, actors, explainer, evaluations, log,
        snapshot,
    )  # fmt: skip


def _begin(config: ConfigDict, method: Method, devices: Devices, learner: Learner, hosts: Hosts) -> None:
    """The first state of a run that begins with what another has learned; the first process reads it, for all."""
    if config.init_from:
        state = learner.state
        with hosts.refused_together():
            if hosts.process == 0:
                state = devices.initial(config.seed, inherited(config, method))
        learner.load(hosts.first(fetch(state)))


def make_learner(
    config: ConfigDict,
    method: Method,
    devices: Devices,
    experts: ExpertSet | None,
    hosts: Hosts,
    stopwatch: Stopwatch,
    profiler: Profiler,
) -> Learner:
    """The learner with its first state, that of the first process."""
    state = devices.init(config.seed)
    if hosts.processes > 1:
        state = devices.place(hosts.first(fetch(state)))
    demonstrations = None
    if method.needs.whole_episodes and experts is not None:
        demonstrations = devices.place((experts.frames, experts.steps))
    return Learner(
        method,
        devices,
        state,
        demonstrations=demonstrations,
        longest=-(-config.env.episode_frames // config.env.action_repeat),
        seed=config.seed,
        process=hosts.process,
        stopwatch=stopwatch,
        profiler=profiler,
    )
