"""How fast this machine is: ``make bench``, or ``python -m patchail_jax.bench --config=configs/cheetah.py``.

Prints milliseconds per update (median of blocked calls after a warm-up, on random data of the config's shapes) for each
method, and agent steps per second of the environments alone, and writes both as JSON to ``--output``.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from patchail_jax.command_line import parse
from patchail_jax.envs.rendering import choose_backend
from patchail_jax.errors import UserError
from patchail_jax.types import Episode, Specs

WARM_UP, SECONDS, CALLS = 3, 10.0, 200


def update_milliseconds(config: ConfigDict, action_size: int) -> float:
    """The median time of one update, its batch drawn from a ring of random frames and streamed from the host."""
    import jax

    from patchail_jax.devices.data_parallel import Devices
    from patchail_jax.replay.ring import Ring
    from patchail_jax.replay.stream import Stream
    from patchail_jax.train import make_method

    specs = Specs(config.env.image_size, config.env.frame_stack, action_size, config.replay.n_step)
    devices = Devices(make_method(config, specs), specs, count=config.devices)
    steps = 4 * config.replay.batch_size
    rng, side = np.random.default_rng(0), specs.image_size
    ring = Ring(capacity=steps + 1, specs=specs)
    frames = rng.integers(0, 256, (steps + 1, side, side, 3), dtype=np.uint8)
    actions = rng.uniform(-1, 1, (steps, action_size)).astype(np.float32)
    ring.add(Episode(frames, actions, np.zeros(steps, np.float32), np.ones(steps, np.float32)))
    stream = Stream(
        ring,
        _RandomPairs(frames),
        batch_size=config.replay.batch_size,
        expert_batch_size=config.replay.expert_batch_size,
        frame_stack=specs.frame_stack,
        devices=devices.count,
        updates_per_call=config.replay.updates_per_call,
        root=(0,),
    )
    state = devices.init(0)
    times: list[float] = []
    began = time.monotonic()
    while len(times) < WARM_UP + 1 or (len(times) < CALLS and time.monotonic() - began < SECONDS):
        batches = stream.batches(len(times))
        before = time.perf_counter()
        state, _ = devices.update(state, batches)
        jax.block_until_ready(state)
        times.append(time.perf_counter() - before)
        if len(times) == WARM_UP:
            began = time.monotonic()
    return 1e3 * statistics.median(times[WARM_UP:]) / config.replay.updates_per_call


class _RandomPairs:
    """Expert pairs cut from random frames."""

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def sample(self, rng: np.random.Generator, count: int, *, frame_stack: int) -> Any:
        from patchail_jax.types import ExpertBatch

        starts = rng.integers(0, len(self._frames) - frame_stack, size=count)
        windows = self._frames[starts[:, None] + np.arange(frame_stack + 1)]
        return ExpertBatch(windows, np.zeros((count, 1), np.float32))


def steps_per_second(config: ConfigDict, num_envs: int) -> tuple[float, int]:
    """Agent steps per second of ``num_envs`` environments in processes, rendering included, and the action size."""
    from patchail_jax.acting.collect import Collector
    from patchail_jax.train import environment_factory, make_pool

    pool = make_pool(environment_factory(config), num_envs, "process")
    try:
        collector = Collector(pool, frame_stack=1, action_size=pool.action_size, root=(0,))
        collector.start()
        actions, steps = np.zeros((num_envs, pool.action_size), np.float32), 0
        began = time.monotonic()
        while time.monotonic() - began < SECONDS / 3:
            collector.send(actions)
            collector.receive()
            steps += num_envs
        return steps / (time.monotonic() - began), pool.action_size
    finally:
        pool.close()


def main(argv: list[str]) -> None:
    """Measures, prints and writes."""
    output = Path(next((word.split("=", 1)[1] for word in argv if word.startswith("--output=")), "bench.json"))
    words = [word for word in argv if not word.startswith("--output=")]
    config = parse(
        words if any("config=" in word for word in words) else [*words, "--config=configs/quickstart.py"]
    ).config
    choose_backend()
    result: dict[str, Any] = {"config": config.to_dict(), "steps_per_second": {}, "update_ms": {}}
    action_size = 1
    for num_envs in (1, 2, 4):
        rate, action_size = steps_per_second(config, num_envs)
        result["steps_per_second"][num_envs] = rate
        sys.stdout.write(f"environments  {num_envs:2d} processes  {rate:8.1f} agent steps/s\n")

    import jax

    from patchail_jax.methods import METHODS

    result["device"], result["jax"] = jax.local_devices()[0].device_kind, jax.__version__
    for name in METHODS:
        config.method = name
        for moment in ("at_update", "at_episode_end") if name != "drqv2" else ("at_update",):
            config.reward.moment = moment
            label = name if name == "drqv2" else f"{name}, {moment}"
            result["update_ms"][label] = update_milliseconds(config, action_size)
            sys.stdout.write(f"update  {label:26s} {result['update_ms'][label]:8.2f} ms on {result['device']}\n")
    output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main(sys.argv)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
