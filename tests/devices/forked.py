"""Programs of ours as children of a process that has their imports behind it, which are a third of a short run."""

import multiprocessing
import os
import sys

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["patchail_jax.loop", __name__])


def start(words, log, flags):
    """``python -m patchail_jax.main`` with ``words``, ``flags`` for XLA, and what it says at the end of ``log``."""
    child = _FORKS.Process(target=_program, args=(words, log, flags))
    child.start()
    return child


def _program(words, log, flags):
    from patchail_jax.main import run

    say_into(log)
    os.environ["XLA_FLAGS"] = flags
    sys.argv = ["patchail_jax", *words]
    run()


def say_into(log):
    """What this process says, on both streams, goes to the end of ``log`` from now on."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(stream, descriptor)
