"""What an update takes: medians over rounds of dispatched updates with one wait at the end, as the loop runs them."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.types import Batch, Episode, Specs

if TYPE_CHECKING:  # these import jax, which must not be here before ``compile_for`` has set its flags
    from patchail_jax.devices.data_parallel import Devices
    from patchail_jax.methods import Method
    from patchail_jax.run.experience import Experience

ROUNDS = 20  # that a measurement is cut into, at the most
EPISODES = 4  # of noise in replay


class Runner(NamedTuple):
    """Something whose updates are timed: ``call`` dispatches ``updates`` of them, ``wait`` waits for all."""

    call: Callable[[], None]
    wait: Callable[[], None]
    updates: int


class Milliseconds(NamedTuple):
    """Of one update, the medians over rounds: by the clock, and of all of the process's threads on CPUs."""

    clock: float
    cpu: float


class Here(NamedTuple):
    """This program's update: its runner, its operations (floating-point, all devices), and a batch of pixels."""

    runner: Runner
    operations: float
    specs: Specs
    batch: Batch


class Noise(NamedTuple):
    """A method on devices, with replay and demonstrations of noise."""

    specs: Specs
    method: "Method"
    devices: "Devices"
    experience: "Experience"


@contextmanager
def on_noise(config: ConfigDict, action_size: int) -> Iterator[Noise]:
    """The config's method with replay and demonstrations of noise, on this machine's devices; nothing is compiled."""
    from patchail_jax.demos.expert_set import ExpertSet
    from patchail_jax.devices.hosts import Hosts
    from patchail_jax.run.experience import make_experience
    from patchail_jax.run.made import made
    from patchail_jax.run.stopwatch import Stopwatch

    specs, method, devices = made(config, action_size)
    episodes = [random_episode(config, specs, seed) for seed in range(EPISODES)]
    experts = ExpertSet(episodes[0].frames[None], episodes[0].actions[None], None, action_size)
    experience = make_experience(config, method, specs, devices, experts, Hosts(), Stopwatch())
    if method.needs.environment:
        for episode in episodes:
            experience.add(episode)
    try:
        yield Noise(specs, method, devices, experience)
    finally:
        experience.close()


@contextmanager
def update_here(config: ConfigDict, action_size: int) -> Iterator[Here]:
    """The config's method on noise; the first update is made, which compiles it."""
    import jax

    with on_noise(config, action_size) as (specs, _, devices, experience):
        state, number = devices.init(0), 0
        operations = devices.operations(state, *experience.batch(number))

        def call() -> None:
            nonlocal state, number
            state, _ = devices.update(state, *experience.batch(number))
            number += config.replay.updates_per_call

        call()
        batch = experience.recall(0)
        assert batch is not None
        runner = Runner(call, lambda: jax.block_until_ready(state), config.replay.updates_per_call)
        yield Here(runner, operations, specs, jax.tree.map(lambda leaf: leaf[0, 0], batch))


def medians(runners: Sequence[Runner], *, seconds: float) -> list[Milliseconds]:
    """For so many ``seconds`` each, in turns: what slows the machine down for a while slows all of them."""

    def timed(runner: Runner, calls: int) -> tuple[float, float]:
        before = time.perf_counter(), time.process_time()
        for _ in range(calls):
            runner.call()
        runner.wait()
        after = time.perf_counter(), time.process_time()
        return after[0] - before[0], after[1] - before[1]

    counts, rounds = [], 5
    for runner in runners:
        timed(runner, 1)
        warm = timed(runner, 2)[0] / 2
        counts.append(max(1, round(seconds / ROUNDS / warm)))
        rounds = max(rounds, min(ROUNDS, round(seconds / counts[-1] / warm)))
    times: list[list[tuple[float, float]]] = [[] for _ in runners]
    for _ in range(rounds):
        for runner, calls, found in zip(runners, counts, times, strict=True):
            clock, cpu = timed(runner, calls)
            found.append((1e3 * clock / calls / runner.updates, 1e3 * cpu / calls / runner.updates))
    return [Milliseconds(*(statistics.median(column) for column in zip(*found, strict=True))) for found in times]


def random_episode(config: ConfigDict, specs: Specs, seed: int) -> Episode:
    """An episode of noise, of the config's length."""
    steps, rng = config.env.episode_frames // config.env.action_repeat, np.random.default_rng(seed)
    frames = rng.integers(0, 256, (steps + 1, *specs.frame_shape)).astype(specs.frame_dtype)
    actions = rng.uniform(-1, 1, (steps, specs.action_size)).astype(np.float32)
    return Episode(frames, actions, np.zeros(steps, np.float32), np.ones(steps, np.float32))
