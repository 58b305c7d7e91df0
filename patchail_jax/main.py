"""The command line: ``python -m patchail_jax.main --config=configs/cheetah.py:patchail --config.seed=1``.

Reads the config, opens the run folder and hands over to ``train``. Bad input is one line on stderr and status 2; a run
that was asked to stop has saved, and ends with the status that shells expect of the signal.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ml_collections import ConfigDict

from patchail_jax.errors import UserError
from patchail_jax.programs.command_line import parse, train_help
from patchail_jax.programs.console import show_log, start
from patchail_jax.programs.verbs import asks_for_help


def run_folder_of(config: ConfigDict) -> str:
    """The folder a config names, or the one that follows from task, method and seed, below runs/ whatever they are."""
    for field, name in (("env.task", config.env.task), ("method", config.method)):
        if name in ("", ".", "..") or Path(name).name != name or "\0" in name:
            raise UserError(f"config.{field} is {name!r}, which cannot name a folder")
    return config.run_folder or f"runs/{config.env.task}/{config.method}/seed_{config.seed}"


def train(config: ConfigDict, *, profile: bool = False) -> None:
    """Starts or resumes the run of ``config``, to its end; ``profile`` adds a trace of a few updates."""
    # Imported here: a wrong flag should not wait for jax, and MUJOCO_GL must be chosen before dm_control is imported.
    from patchail_jax.envs.rendering import choose_backend

    choose_backend()
    from patchail_jax.devices.hosts import join, losses_in_one_line
    from patchail_jax.devices.profiler import Profiler
    from patchail_jax.outputs.metrics import Metrics
    from patchail_jax.programs.interruption import Interruption
    from patchail_jax.run.scalars import NotFinite
    from patchail_jax.storage.replication import replicated
    from patchail_jax.storage.run_folder import open_run
    from patchail_jax.train import Training

    hosts = join(**config.hosts)
    location = run_folder_of(config) + (f"/process_{hosts.process}" if hosts.process else "")
    with (
        losses_in_one_line(hosts),
        replicated(location) as (folder, push),
        ExitStack() as resources,
        Interruption() as interruption,
    ):
        run = open_run(folder, config=config.to_dict(), may_differ=MAY_DIFFER)
        resources.callback(run.close)
        metrics = Metrics(
            run,
            agent=config.method,
            task=config.env.task,
            seed=config.seed,
            wandb_mode="disabled" if hosts.process else config.log.wandb_mode,
            wandb_project=config.log.wandb_project,
            wandb_group=f"{config.env.task}/{config.method}",
            run_name=f"{config.env.task}/{config.method}/{config.seed}",
            config=config.to_dict(),
            tensorboard=config.log.tensorboard,
        )
        resources.callback(metrics.close)
        training = Training(config, run, metrics, resources, hosts, Profiler(run.profile if profile else None), push)
        try:
            evaluation = training.loop(interruption)
        except NotFinite as error:
            raise training.write_batch(error) from error
        if config.log.picture and evaluation is not None:
            from patchail_jax.run.summary import write_summary

            write_summary(training, evaluation)
        run.finish(config.num_frames)


# What may change between two starts of one run: it alters how the run is made, not what it computes.
MAY_DIFFER = ("num_frames", "run_folder", "devices", "hosts", "env.workers", "demos.cache_dir", "log", "checkpoint")


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
    train(options.config, profile=options.profile)
    return 0


def run(argv: Sequence[str] | None = None) -> None:
    """``main`` with ``argv``, program name first: exits with status 0, 2 (bad input) or 128 + signal."""
    start(main, list(sys.argv if argv is None else argv)[1:])


if __name__ == "__main__":
    run()
