"""The flags that every launcher takes: which runs, where to, and whether only to say so."""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from patchail_jax.errors import UserError, choose
from patchail_jax.files.home import expanded
from patchail_jax.files.ordinary import require_folder
from patchail_jax.launch.sweeps.paper import ONE_PROCESS, SWEEPS
from patchail_jax.launch.sweeps.sweep import PlannedRun, refuse_form, runs, selected
from patchail_jax.programs import command_line
from patchail_jax.programs.arguments import Arguments, number_ranges
from patchail_jax.storage.remote import READERS, is_remote

_OWN = ("--config.seed=", "--config.run_folder=")  # flags in which runs of one kind differ
_seeds = functools.partial(number_ranges, what="seed")


def parser(description: str | None, *, launcher: str = "LAUNCHER") -> argparse.ArgumentParser:
    """The common flags; a launcher adds its own. ``description`` begins with what it does: ``an example``."""
    prog = f"patchail launch {launcher}"
    purpose, _, example = (description or "").split("\n\n")[0].partition(": ``")
    made = Arguments(prog=prog, usage=f"{prog} SWEEP [flags]", description=f"{purpose}.", add_help=False)
    made.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    made.add_argument("sweep", help=argparse.SUPPRESS)
    made.add_argument("--tasks", type=_words, default=(), help="only these tasks, with commas between them")
    made.add_argument("--methods", type=_words, default=(), help="only these methods, with commas between them")
    made.add_argument("--seeds", type=_seeds, default=(), help="only these seeds, for example 0,2 or 0-4")
    made.add_argument("--labels", type=_words, default=(), help="only runs with these labels, with commas between them")
    made.add_argument("--root", default="", help="where run folders go: a folder or a bucket")
    made.add_argument("--dry_run", action="store_true", help="print what would run, and start nothing")
    made.epilog = f"SWEEP is one of {', '.join(SWEEPS)}. Any --config.KEY=VALUE goes to every run."
    made.epilog += f" Example: {example.removesuffix('``.')}" if example else ""
    return made


def parse(
    made: argparse.ArgumentParser, argv: Sequence[str], *, parent: str = "runs"
) -> tuple[argparse.Namespace, list[PlannedRun]]:
    """The flags and the runs they choose; what begins with ``--config.`` is an override of every run.

    ``parent`` is where a sweep's root lies when ``--root`` does not say.
    """
    overrides = [word for word in argv if word.startswith("--config.") and "=" in word]
    # Without them: what has a space and is no flag of its own, argparse takes for the sweep.
    options, wrong = made.parse_known_args([word for word in argv if word not in overrides])
    if wrong:
        raise UserError(f"unknown argument {wrong[0]!r}: overrides have the form --config.KEY=VALUE")
    if options.sweep not in SWEEPS:
        raise UserError(f"no sweep {options.sweep!r}; use one of {', '.join(SWEEPS)}")
    refuse_form(options.sweep, SWEEPS[options.sweep])
    options.root = options.root or f"{parent}/{options.sweep}"
    if not is_remote(options.root):
        options.root = str(require_folder(expanded(options.root)))  # a shell leaves the ~ of --root=~/x alone
    grids = selected(
        SWEEPS[options.sweep],
        tasks=options.tasks,
        methods=options.methods,
        seeds=options.seeds,
        labels=options.labels,
    )
    chosen = runs(grids, root=options.root, overrides=overrides)
    refuse_configs(chosen)
    return options, chosen


def refuse_configs(runs: Sequence[PlannedRun]) -> None:
    """``UserError`` for a config that makes no run: found here, not on a machine that was waited for.

    Runs that differ in their seeds alone are asked for once. What only the run's machine knows, its platform and,
    unless a flag says so, how many devices share a batch, is left to it; no accelerator is touched here.
    """
    different = {tuple(flag for flag in run.flags if not flag.startswith(_OWN)): run for run in runs}
    configs = [ConfigDict(config_of(run).to_dict()) for run in different.values()]  # a wrong flag waits for no jax
    if "jax" not in sys.modules:
        import jax

        jax.config.update("jax_platforms", "cpu")
    from patchail_jax.run.refusals import PLATFORMS, refuse_before

    for config in configs:
        if config.platform:
            choose(PLATFORMS, config.platform, field="platform")
        config.devices, config.platform = config.devices or 1, ""
        refuse_before(config, processes=1)


def extras_for(root: str, extras: str) -> str:
    """What ``setup.sh`` has to install beside ``extras`` for run folders in ``root``."""
    _, storage = READERS.get(root.partition("://")[0], ("", "")) if is_remote(root) else ("", "")
    return ",".join(filter(None, (extras, storage)))


def require_several_hosts(runs: Sequence[PlannedRun], *, instead: str) -> None:
    """``UserError`` where a run's method cannot train across hosts; ``instead`` is what to do."""
    for run in runs:
        if (method := config_of(run).method) in ONE_PROCESS:
            raise UserError(f"{method} cannot train across several hosts: {instead}")


def require_checkout() -> None:
    """``UserError`` unless the current folder is the source's, which is what goes to the machines."""
    if not Path("launch/setup.sh").is_file():
        raise UserError(
            "there is no launch/setup.sh here: start this launcher in the source folder, which it sends to the machines"
        )


def frames_of(run: PlannedRun) -> int:
    """The frames that a run is asked to play."""
    return int(config_of(run).num_frames)


@functools.cache
def config_of(run: PlannedRun) -> ConfigDict:
    """The config that a run's flags stand for, to be read; ``UserError`` as the run itself would give it."""
    return command_line.parse(["launch", *run.flags]).config


def _words(text: str) -> tuple[str, ...]:
    found = tuple(word for word in text.split(",") if word)
    if not found:  # an unset variable of a shell's, which must not stand for all
        raise argparse.ArgumentTypeError(f"{text!r} names none; leave the flag out for all")
    return found
