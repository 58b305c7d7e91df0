"""From the folder of a run to demonstrations by its policy: config, environment, method and newest checkpoint."""

import importlib.metadata
from collections.abc import Callable
from contextlib import closing
from typing import Any

from patchail_jax.acting.record import record
from patchail_jax.demos.form import Trajectories
from patchail_jax.errors import UserError
from patchail_jax.run.design import environment_factory
from patchail_jax.run.reopened import open_trained
from patchail_jax.storage.remote import is_going_on, reading_copy
from patchail_jax.types import Purpose


def record_run(
    location: str,
    *,
    episodes: int,
    seed: int,
    report: Callable[[int, float], None],
    check: Callable[[dict[str, Any]], object],
) -> Trajectories:
    """``episodes`` episodes with the mean action of the newest checkpoint in ``location``, all kept.

    ``report(number, return)`` is called after each, ``check(metadata)`` before the first: what it refuses is refused
    before minutes of playing. ``UserError`` for a folder without a run or a checkpoint, and for
    a run that is going on.
    """
    if is_going_on(location):
        raise UserError(f"a process is training in {location}: wait for its end, or stop it")
    trained = open_trained(reading_copy(location))
    config, devices = trained.config, trained.devices
    metadata = {
        "task": config.env.task,
        "action_repeat": config.env.action_repeat,
        "source": f"{config.method}, seed {config.seed}, checkpoint at {trained.frame} frames",
        "recording_seed": seed,
        **{package: importlib.metadata.version(package) for package in ("dm_control", "mujoco")},
    }
    check(metadata)
    policy = devices.publish(trained.state)
    with closing(environment_factory(config)()) as environment:
        return record(
            environment,
            lambda observations: devices.exploit(policy, observations),
            episodes=episodes,
            specs=trained.specs,
            root=(seed, Purpose.RECORDING),
            metadata=metadata,
            report=report,
        )
