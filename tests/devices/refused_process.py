"""One of two processes. Arguments: port, process, and who is refused: 0, 1, "both", or "late": 0 when 1 has ended."""

import sys
import time

from patchail_jax.devices.hosts import LINGER_SECONDS, join, losses_in_one_line
from patchail_jax.errors import UserError
from patchail_jax.programs.console import start

REFUSAL = "this process's own folder cannot be written"


def work(words):
    port, process, refused = words
    hosts = join(coordinator=f"127.0.0.1:{port}", count=2, index=int(process), lost_seconds=30)
    with losses_in_one_line(hosts):
        hosts.gather(0)
        if refused == "late" and process == "0":
            time.sleep(LINGER_SECONDS + 2)
            raise UserError(REFUSAL)
        if refused in (process, "both"):
            raise UserError(REFUSAL)
        if refused != "late":
            hosts.gather(1)


if __name__ == "__main__":
    start(work, sys.argv[1:])
