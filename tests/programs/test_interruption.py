"""Signals as schedulers and people send them."""

import signal
import subprocess
import sys
import time

import pytest

CODE = """
import sys, time
from patchail_jax.programs.interruption import Interruption
with Interruption() as interruption:
    print("ready", flush=True)
    while interruption.signal_number is None:
        time.sleep(0.01)
    print("asked", flush=True)
    time.sleep(float(sys.argv[1]))
    print("saved", flush=True)
sys.exit(128 + interruption.signal_number)
"""


def hear_ctrl_c():
    """A shell's job in the background ignores it, and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def told(first, *more, seconds=0.5, before=()):
    """Exit status and last word of a program that takes some time to save."""
    words = [*before, sys.executable, "-c", CODE, str(seconds)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=hear_ctrl_c
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(first)
    assert process.stdout.readline() == "asked\n"
    for number in more:
        process.send_signal(number)
        time.sleep(0.05)
    last, _ = process.communicate(timeout=30)
    return process.returncode, last


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_saves_and_more_of_a_scheduler_change_nothing(first):
    assert told(first, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM) == (128 + first, "saved\n")


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_ctrl_c_after_it_ends_at_once(first):
    status, last = told(first, signal.SIGINT, seconds=20)
    assert status == -signal.SIGINT and last == ""


def test_a_hangup_that_is_ignored_stays_so():
    assert told(signal.SIGTERM, before=["nohup"]) == (128 + signal.SIGTERM, "saved\n")
    words = ["nohup", sys.executable, "-c", CODE, "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
