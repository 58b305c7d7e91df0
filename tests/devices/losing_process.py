"""One of several processes, of which one is killed while they work. Arguments: port, process, count, killed, folder."""

import contextlib
import os
import signal
import sys
from pathlib import Path

import numpy as np

from patchail_jax.devices.hosts import join, losses_in_one_line
from patchail_jax.programs.console import start


def work(words):
    port, process, count, killed = map(int, words[:4])
    hosts = join(coordinator=f"127.0.0.1:{port}", count=count, index=process, lost_seconds=30)
    closed = Path(words[4]) / f"closed_{process}"
    with losses_in_one_line(hosts), contextlib.ExitStack() as resources:
        resources.callback(closed.touch)
        for number in range(10**6):
            hosts.gather(number)
            hosts.first(np.zeros(3))
            if (number, process) == (20, killed):
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    start(work, sys.argv[1:])
