"""From the folder of a run to demonstrations by its policy: config, environment, method and newest checkpoint."""

import importlib.metadata
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from patchail_jax.acting.record import record
from patchail_jax.demos.form import Trajectories
from patchail_jax.errors import UserError
from patchail_jax.run.design import environment_factory
from patchail_jax.run.reopened import open_trained
from patchail_jax.storage.remote import reading_copy
from patchail_jax.storage.run_folder import reopen_run
from patchail_jax.types import Purpose


def record_run(
    location: str,
    *,
    episodes: int,
    seed: int,
    report: Callable[[int, float], None],
    check: Callable[[dict[str, Any]], object] = lambda metadata: None,
) -> Trajectories:
    """``episodes`` episodes with the mean action of the newest checkpoint in ``location``, all kept.

    ``report(number, return)`` is called after each, ``check(metadata)`` before the first: what it refuses is refused
    before minutes of playing. ``UserError`` for a folder without a run or a checkpoint, and for
    a run that is going on.
    """
    if episodes < 1:
        raise UserError(f"--episodes is {episodes}; record at least one")
    with ExitStack() as resources:
        run, _ = reopen_run(reading_copy(location))
        resources.callback(run.close)
        trained = open_trained(run.path)
        config, devices = trained.config, trained.devices
        environment = environment_factory(config)()
        resources.callback(environment.close)
        policy = devices.publish(trained.state)
        metadata = {
            "task": config.env.task,
            "action_repeat": config.env.action_repeat,
            "source": f"{config.method}, seed {config.seed}, checkpoint at {trained.frame} frames",
            "recording_seed": seed,
            **{package: importlib.metadata.version(package) for package in ("dm_control", "mujoco")},
        }
        check(metadata)
        return record(
            environment,
            lambda observations: devices.exploit(policy, observations),
            episodes=episodes,
            specs=trained.specs,
            root=(seed, Purpose.RECORDING),
            metadata=metadata,
            report=report,
        )
