"""The command line: ``python -m patchail_jax.main --config=configs/cheetah.py:patchail --config.seed=1``.

Reads the config, opens the run folder and hands over to ``train``. Bad input is one line on stderr and status 2; a run
that was asked to stop has saved, and ends with the status that shells expect of the signal.
"""

import signal
import sys
from collections.abc import Sequence

from patchail_jax.programs.command_line import parse
from patchail_jax.programs.console import one_line_errors, show_log
from patchail_jax.programs.train import train


def run(argv: Sequence[str] | None = None) -> None:
    """The console script: exits with status 0, 2 (bad input) or 128 + signal."""
    show_log(sys.stdout)
    try:
        with one_line_errors():
            options = parse(list(sys.argv if argv is None else argv))
            if options.print_config:
                sys.stdout.write(f"{options.config}\n")
                return
            train(options.config, profile=options.profile)
    except KeyboardInterrupt as interrupt:
        saved = bool(interrupt.args)
        message = "stopped and saved; the same command goes on with this run" if saved else "stopped"
        sys.stderr.write(f"{message}\n")
        sys.exit(128 + (interrupt.args[0] if saved else signal.SIGINT))


if __name__ == "__main__":
    run()
