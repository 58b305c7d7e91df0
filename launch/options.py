"""The flags that every launcher takes: which runs, where to, and whether only to say so."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

from patchail_jax.errors import UserError
from patchail_jax.launch.sweeps.paper import SWEEPS
from patchail_jax.launch.sweeps.sweep import PlannedRun, runs, selected
from patchail_jax.programs import command_line
from patchail_jax.programs.console import one_line_errors


def parser(description: str | None) -> argparse.ArgumentParser:
    """The common flags; a launcher adds its own."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("sweep", help=f"one of {', '.join(SWEEPS)}")
    made.add_argument("--tasks", type=_words, default=(), help="only these, with commas between them")
    made.add_argument("--methods", type=_words, default=(), help="only these, with commas between them")
    made.add_argument("--seeds", type=_numbers, default=(), help="only these, with commas between them")
    made.add_argument("--root", default="", help="where run folders go, by default under the sweep's name in runs/")
    made.add_argument("--dry_run", action="store_true", help="print exactly what would run, and do nothing")
    made.epilog = "Any --config.KEY=VALUE goes to every run."
    return made


def parse(
    made: argparse.ArgumentParser, argv: Sequence[str], *, parent: str = "runs"
) -> tuple[argparse.Namespace, list[PlannedRun]]:
    """The flags and the runs they choose; what begins with ``--config.`` is an override of every run.

    ``parent`` is where a sweep's root lies when ``--root`` does not say.
    """
    options, rest = made.parse_known_args(argv)
    wrong = [word for word in rest if not (word.startswith("--config.") and "=" in word)]
    if wrong:
        raise UserError(f"what is {wrong[0]!r}? Overrides have the form --config.KEY=VALUE")
    if options.sweep not in SWEEPS:
        raise UserError(f"no sweep {options.sweep!r}; use one of {', '.join(SWEEPS)}")
    options.root = options.root or f"{parent}/{options.sweep}"
    grids = selected(SWEEPS[options.sweep], tasks=options.tasks, methods=options.methods, seeds=options.seeds)
    chosen = runs(grids, root=options.root, overrides=rest)
    for run in chosen:
        config_of(run)  # a wrong override is found here, not on a machine that waited for hours
    return options, chosen


def extras_for(root: str, extras: str) -> str:
    """What ``setup.sh`` has to install beside ``extras`` for run folders in ``root``."""
    return ",".join(filter(None, (extras, "gcs"))) if root.startswith("gs://") else extras


def config_of(run: PlannedRun) -> ConfigDict:
    """The config that a run's flags stand for; ``UserError`` as the run itself would give it."""
    return command_line.parse(["launch", *run.flags]).config


def start(main: Callable[[Sequence[str]], int]) -> None:
    """Runs a launcher with this process's flags; bad input is one line on stderr and status 2."""
    try:
        with one_line_errors():
            sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in _words(text))
