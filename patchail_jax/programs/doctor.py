"""Whether a run would work here: ``python -m patchail_jax.doctor --config=configs/cheetah.py:patchail_w``.

Without a config it is the quickstart's. Each problem comes with its remedy; exit status 1 when a run would fail.
"""

import functools
import logging
import sys
from collections.abc import Sequence

from patchail_jax.programs import machine_checks as machine
from patchail_jax.programs import run_checks as run
from patchail_jax.programs.command_line import parse
from patchail_jax.programs.console import one_line_errors
from patchail_jax.programs.finding import Finding, examine

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


def lines(finding: Finding) -> str:
    """A finding as it stands in the table, its remedy on a line of its own."""
    first = f"{finding.status:8} {finding.name:15} {finding.finding}\n"
    return first + (f"{'':24} -> {finding.remedy}\n" if finding.remedy else "")


def main(argv: Sequence[str]) -> int:
    """Makes and prints every check; the exit status."""
    words = list(argv)
    if not any(word.lstrip("-").split("=")[0] == "config" for word in words[1:]):
        words.insert(1, "--config=configs/quickstart.py")
    config = parse(words).config
    logging.getLogger("absl").setLevel(logging.ERROR)  # dm_control's talk about its own models
    findings = []
    for name, check in CHECKS.items():
        findings.append(examine(name, functools.partial(check, config)))
        sys.stdout.write(lines(findings[-1]))
        sys.stdout.flush()
    problems = sum(finding.status == "problem" for finding in findings)
    verdict = f"{problems} to mend before a run can work" if problems else "a run would work"
    sys.stdout.write(f"{verdict}: {config.method} on {config.env.task}\n")
    return int(problems > 0)


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv))
