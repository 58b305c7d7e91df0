"""One of two processes, of which one is refused alone, or both are. Arguments: port, process, refused: 0, 1 or both."""

import sys

from patchail_jax.devices.hosts import join, losses_in_one_line
from patchail_jax.errors import UserError
from patchail_jax.programs.console import start


def work(words):
    port, process, refused = words
    hosts = join(coordinator=f"127.0.0.1:{port}", count=2, index=int(process), lost_seconds=30)
    with losses_in_one_line(hosts):
        hosts.gather(0)
        if refused in (process, "both"):
            raise UserError("this process's own folder cannot be written")
        hosts.gather(1)


if __name__ == "__main__":
    start(work, sys.argv[1:])
