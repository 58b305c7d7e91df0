"""The user's command: ``python -m patchail_jax.main --config=configs/cheetah.py:patchail --config.seed=1``."""

import sys
from collections.abc import Sequence

from patchail_jax.programs.console import start
from patchail_jax.programs.train import main


def run(argv: Sequence[str] | None = None) -> None:
    """``main`` with ``argv``, program name first: exits with status 0, 2 (bad input) or 128 + signal."""
    start(main, list(sys.argv if argv is None else argv)[1:])


if __name__ == "__main__":
    run()
