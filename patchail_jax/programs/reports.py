"""From finished runs to the paper's table and figures: ``patchail reports table1 RUNS...``.

RUNS are run folders, or folders above them, for example that of one sweep. Prints the names of the files it writes.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from patchail_jax.programs.arguments import Arguments, output_folder, whole_numbers


def main(argv: Sequence[str]) -> None:
    """Writes the report that ``argv`` asks for."""
    options = _parser().parse_args(argv)
    from patchail_jax.reports.aggregate import write_aggregate
    from patchail_jax.reports.curves import write_curves
    from patchail_jax.reports.html import write_html
    from patchail_jax.reports.results import gather, write_table
    from patchail_jax.reports.runs import find_runs, incomplete_lines
    from patchail_jax.reports.table1 import write_table1
    from patchail_jax.run.config import MAY_DIFFER

    runs = find_runs(options.runs)
    for line in incomplete_lines(runs):
        sys.stderr.write(f"incomplete: {line}\n")
    match options.report:
        case "table1":
            written = write_table1(runs, options.output, frames=options.frames, may_differ=MAY_DIFFER)
        case "curves":
            written = write_curves(runs, options.output, by=options.by, may_differ=MAY_DIFFER)
        case "html":
            written = [write_html(run, options.output) for run in runs]
        case "results":
            kept = [gather(run, options.output / options.size) for run in runs]
            written = [*filter(None, kept), write_table(options.output)]
        case _:
            written = write_aggregate(runs, options.output, frames=options.frames, may_differ=MAY_DIFFER)
    for path in written:
        sys.stdout.write(f"{path}\n")


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
            report.add_argument("--size", default="small", help="its subfolder (%(default)s)")
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
