"""Whether a run would work here: ``patchail doctor --config=cheetah:patchail_w``.

Without a config it is the quickstart's. Each problem comes with its remedy; exit status 1 when a run would fail.
"""

import functools
import sys
from collections.abc import Sequence

from patchail_jax.programs import machine_checks as machine
from patchail_jax.programs import run_checks as run
from patchail_jax.programs.command_line import config_help, names_config, parse
from patchail_jax.programs.finding import Finding, examine
from patchail_jax.programs.verbs import asks_for_help
from patchail_jax.run.unread import unread

CHECKS = {
    "versions": machine.check_versions,
    "devices": machine.check_devices,
    "matrix rate": machine.check_matrix_rate,
    "rendering": machine.check_rendering,
    "method": run.check_method,
    "memory": run.check_memory,
    "demonstrations": run.check_demonstrations,
    "run folder": run.check_run_folder,
    "cache": run.check_cache,
    "W&B": run.check_wandb,
}

HELP = """\
usage: patchail doctor [--config=NAME|FILE[:METHOD[+VARIANT]]] [--config.KEY=VALUE ...]

Checks whether a run would work on this machine. Each problem comes with its remedy.
The exit status is 1 when a run would fail. Without a config it is the quickstart's.

{}
examples:
  patchail doctor --config=cheetah:patchail_w
  patchail doctor --config=cheetah --config.replay.capacity=1000000
"""


def lines(finding: Finding) -> str:
    """A finding as it stands in the table, its remedy on a line of its own."""
    first = f"{finding.status:8} {finding.name:15} {finding.finding}\n"
    return first + (f"{'':24} -> {finding.remedy}\n" if finding.remedy else "")


def main(argv: Sequence[str]) -> int:
    """Makes and prints every check; the exit status."""
    if asks_for_help(argv):
        sys.stdout.write(HELP.format(config_help()))
        return 0
    words = argv if names_config(argv) else ["--config=quickstart", *argv]
    config, _, _, given = parse(["patchail doctor", *words])
    for line in unread(config, given).values():
        sys.stdout.write(lines(Finding("flags", "warning", line, "leave it out")))
    findings = []
    for name, check in CHECKS.items():
        findings.append(examine(name, functools.partial(check, config)))
        sys.stdout.write(lines(findings[-1]))
        sys.stdout.flush()
    problems = sum(finding.status == "problem" for finding in findings)
    plural = "s" if problems > 1 else ""
    verdict = f"{problems} problem{plural} to fix before training can start" if problems else "a run would work"
    sys.stdout.write(f"{verdict}: {config.method} on {config.env.task}\n")
    return int(problems > 0)
