"""Trains: ``patchail train --config=cheetah:patchail_w --config.seed=1``.

Reads the config, opens the run folder and hands over to the loop. Bad input is one line on stderr and status 2; a run
that was asked to stop has saved, and ends with the status that shells expect of the signal.
"""

import functools
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ml_collections import ConfigDict

from patchail_jax.errors import NotFiniteValues
from patchail_jax.programs.command_line import parse, train_help
from patchail_jax.programs.console import show_log
from patchail_jax.programs.interruption import Interruption
from patchail_jax.programs.verbs import asks_for_help
from patchail_jax.run.config import refuse_numbers
from patchail_jax.run.unread import unread

if TYPE_CHECKING:
    from patchail_jax.run.parts import Parts

_log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Trains the run that the flags ask for; returns the exit status."""
    if asks_for_help(argv):
        sys.stdout.write(train_help())
        return 0
    options = parse(["patchail train", *argv])
    if options.print_config:
        sys.stdout.write(f"{options.config}\n")
        return 0
    show_log(sys.stdout)
    for line in unread(options.config, options.given).values():
        _log.warning(line)
    train(options.config, profile=options.profile)
    return 0


def train(config: ConfigDict, *, profile: bool = False) -> None:
    """Starts the run of ``config``, or resumes it, to its end; ``profile`` adds a trace of a few updates.

    ``UserError``, one line, for bad input; ``KeyboardInterrupt`` with the signal's number after a stop that was saved.
    """
    # Imported here: a wrong flag should not wait for jax.
    from patchail_jax import loop
    from patchail_jax.devices.hosts import join, losses_in_one_line
    from patchail_jax.devices.profiler import Profiler
    from patchail_jax.outputs.dashboards import open_dashboards
    from patchail_jax.outputs.identity import RunIdentity
    from patchail_jax.outputs.metrics import Metrics
    from patchail_jax.run.agreement import require_same_config
    from patchail_jax.run.design import run_folder_of
    from patchail_jax.run.parts import Surroundings, build
    from patchail_jax.run.refusals import refuse_before
    from patchail_jax.run.summary import write_summary
    from patchail_jax.storage.replication import replicated
    from patchail_jax.storage.run_folder import open_run

    refuse_numbers(config)
    hosts = join(**config.hosts)
    with losses_in_one_line(hosts):
        require_same_config(config, hosts)
    refuse_before(config, processes=hosts.processes)
    location = run_folder_of(config) + (f"/process_{hosts.process}" if hosts.process else "")
    with (
        losses_in_one_line(hosts),
        Interruption() as interruption,  # to the end: a second signal must not cut off the last upload
        replicated(location) as (path, push),
        ExitStack() as resources,
    ):
        folder = open_run(path, config=config.to_dict())
        resources.callback(folder.close)
        identity = RunIdentity(config.method, config.env.task, config.seed)
        dashboards = functools.partial(open_dashboards, folder, identity, config.to_dict(), leads=hosts.process == 0)
        metrics = Metrics(folder, identity, dashboards)
        resources.callback(metrics.close)
        profiler = Profiler(folder.profile if profile else None)
        run = build(config, Surroundings(folder, metrics, hosts, profiler, push), resources)
        try:
            evaluation = loop.train(run, lambda: interruption.signal_number)
        except NotFiniteValues as found:
            raise run.snapshot.write_batch(run.log.scalars.blame(found, run.clock.update)) from found
        finally:
            profiler.close()
        if not run.clock.update:
            _log.warning("nothing was learned: %s", _why_without_updates(run))
        if config.log.picture and evaluation is not None:
            write_summary(run, evaluation)
        folder.finish(config.num_frames)


def _why_without_updates(run: "Parts") -> str:
    """Why a run has ended without an update, and what to do."""
    agent, replay, frames = run.config.agent, run.config.replay, run.config.num_frames
    first = agent.first_update_step + (replay.updates_per_call - 1) * agent.steps_per_update
    if run.clock.agent_step - run.actors.num_envs * run.hosts.processes < first:  # where updates were last asked for
        first *= run.config.env.action_repeat
        return f"the run has {frames:,} frames, and its first update comes after {first:,} (agent.first_update_step)"
    steps = replay.n_step
    return (
        f"no episode of {steps} steps or more (replay.n_step) had ended before the last of the run's {frames:,} frames"
    )
