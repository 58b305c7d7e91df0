"""Everything that a person starts: ``patchail VERB ...``, or ``python -m patchail_jax VERB ...``.

A program is imported when it is asked for, so that a wrong word does not wait for jax.
"""

import sys
from collections.abc import Sequence

from patchail_jax import __version__
from patchail_jax.programs.console import start
from patchail_jax.programs.verbs import Verb, call

VERBS = {
    "train": Verb("patchail_jax.programs.train:main", "train a run, or resume it"),
    "explain": Verb("patchail_jax.programs.explain:main", "see where a run's rewards come from: pictures, films, maps"),
    "demos": Verb("patchail_jax.programs.demos:main", "record, convert and inspect demonstrations"),
    "reports": Verb("patchail_jax.programs.reports:main", "the paper's table and figures, and pages, from run folders"),
    "doctor": Verb("patchail_jax.programs.doctor:main", "check whether a run would work on this machine"),
    "bench": Verb("patchail_jax.programs.bench:main", "measure how fast this machine is"),
    "evidence": Verb("patchail_jax.programs.evidence:main", "train the paper's runs one by one, within --minutes"),
    "launch": Verb("patchail_jax.launch.launchers:main", "start a sweep of runs: here, on a cluster or in a cloud"),
}
EXAMPLES = """\
examples:
  patchail train --config=quickstart
  patchail train --config=cheetah:patchail_w --config.seed=1
  patchail explain --run=runs/cheetah_run/patchail_w/seed_1

"""


def main(words: Sequence[str]) -> int | None:
    """Does what the words ask for; returns the exit status."""
    if words and words[0] == "--version":
        sys.stdout.write(f"patchail_jax {__version__}\n")
        return 0
    return call("patchail", VERBS, words, what="verb", text=EXAMPLES)


def run() -> None:
    """The console script: exits with status 0, 2 (bad input), 128 + signal, or what the program says."""
    start(main, sys.argv[1:])


if __name__ == "__main__":
    run()
