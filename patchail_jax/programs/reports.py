"""From finished runs to the paper's table and figures: ``patchail reports table1 RUNS...``.

RUNS are run folders, or folders above them, for example that of one sweep. Prints the names of the files it writes.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from patchail_jax.errors import UserError
from patchail_jax.programs.arguments import Arguments, output_folder, whole_numbers

if TYPE_CHECKING:
    from patchail_jax.reports.runs import Run

_SMALL, _PAPER = "small", "paper"  # sizes that a run's config tells
# What fits the paper's runs to a machine: the order of their draws, and nothing else that they compute.
_PAPER_MAY_DIFFER = ("env.num_envs", "replay.updates_per_call")
# A size's runs have the config of this variant of their method, but for these fields.
_SIZES: Mapping[str, tuple[str, Sequence[str]]] = {_SMALL: (f"+{_SMALL}", ()), _PAPER: ("", _PAPER_MAY_DIFFER)}


def main(argv: Sequence[str]) -> None:
    """Writes the report that ``argv`` asks for."""
    options = _parser().parse_args(argv)
    from patchail_jax.reports.aggregate import write_aggregate
    from patchail_jax.reports.curves import write_curves
    from patchail_jax.reports.html import write_pages
    from patchail_jax.reports.results import gather, write_table
    from patchail_jax.reports.runs import find_runs, incomplete_lines
    from patchail_jax.reports.table1 import write_table1

    runs = find_runs(options.runs)
    for line in incomplete_lines(runs):
        sys.stderr.write(f"incomplete: {line}\n")
    match options.report:
        case "table1":
            written = write_table1(runs, options.output, frames=options.frames)
        case "curves":
            written = write_curves(runs, options.output, by=options.by)
        case "html":
            written = write_pages(runs, options.output)
        case "results":
            folder = options.output / _size(runs, options.size, force=options.force)
            if not any(len(run.frames) for run in runs):
                raise UserError("none of the runs has an evaluation yet: there is nothing to keep")
            written = gather(runs, folder, force=options.force) + write_table(options.output)
        case _:
            written = write_aggregate(runs, options.output, frames=options.frames)
    for path in written:
        sys.stdout.write(f"{path}\n")


def _size(runs: Sequence["Run"], named: str | None, *, force: bool) -> str:
    """The size that is ``named``, or else the one that all ``runs`` are of.

    ``UserError`` for a run that is not of the size, unless ``named`` is one of your own or there is ``force``, and for
    two sizes.
    """
    if named and (force or named not in _SIZES):
        return named
    from patchail_jax.reports.seeds import differences, in_words
    from patchail_jax.run.config import paper_config

    found: dict[str, Path] = {}
    for run in runs:
        differing = {}
        for size in (named,) if named else _SIZES:
            variant, besides = _SIZES[size]
            model = run._replace(config=paper_config(run.task, run.method + variant).to_dict())
            differing[size] = differences([run, model], besides)
        name = min(differing, key=lambda size: len(differing[size]))
        if differing[name]:
            raise UserError(f"{run.path} is not {name}, by {in_words(differing[name])}: give it a --size of its own")
        found.setdefault(name, run.path)
    if len(found) > 1:
        raise UserError(f"{found[_SMALL]} is small and {found[_PAPER]} is paper: name one sweep's folder, or a --size")
    return next(iter(found))


def _folder_name(text: str) -> str:
    """A name of letters, digits, ``_`` and ``-``, as ``type=`` of a flag."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of letters, digits, _ and -")
    return text


def _parser() -> Arguments:
    parser = Arguments(prog="patchail reports", description="Tables and figures from run folders.")
    reports = parser.add_subparsers(dest="report", required=True, metavar="REPORT")
    for name, text in (
        ("table1", "mean and standard deviation over seeds at given frames, with the paper's (Table 1)"),
        ("curves", "learning curves with the band over seeds (Figures 4, 6 to 10)"),
        ("aggregate", "interquartile mean, probability of improvement, performance profile"),
        ("results", "evaluations, each with how it was made, in small files to keep, and their table"),
        ("html", "a run as one page with curves, its newest episode under its rewards, and its config"),
    ):
        report = reports.add_parser(name, help=text, description=text)
        report.add_argument("runs", nargs="+", metavar="RUNS", help="run folders, or folders above them")
        where = Path("results" if name == "results" else "reports")
        report.add_argument("--output", type=output_folder, default=where, help="folder to write into (%(default)s)")
        if name == "results":
            report.add_argument(
                "--size", type=_folder_name, help=f"its subfolder ({_SMALL} or {_PAPER} for runs of these configs)"
            )
            report.add_argument(
                "--force",
                action="store_true",
                help="take another config than the size's; replace results of another config or with other evaluations",
            )
        if name == "curves":
            report.add_argument(
                "--by",
                default="",
                metavar="FIELD",
                help="one curve for each value of a field, for example discriminator.kernel_size",
            )
        if name in ("table1", "aggregate"):
            report.add_argument(
                "--frames", type=whole_numbers, help="frames to compare at (500000,1000000 unless the runs are shorter)"
            )
    return parser
