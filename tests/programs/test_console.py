"""The two ends of a program: where its words go, and its status."""

import subprocess
import sys

import pytest

SAYS = (
    "import sys; from patchail_jax.programs.console import start; "
    "start(lambda words: sys.stdout.write(chr(10).join(map(str, range(99999)))) and 0, [])"
)


@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        (">/dev/null", 0, ""),
        (">&-", 0, ""),
        (">/dev/full", 2, "error: no space is left where the output goes: free some\n"),
        ("| true; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)
def test_output_that_cannot_go_anywhere_is_no_traceback(redirected, status, said):
    command = f'{sys.executable} -c "{SAYS}" {redirected}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.parametrize(("error", "status"), [("UserError", 2), ("NotFiniteValues", 2), ("Unavailable", 1)])
def test_what_may_pass_ends_with_a_status_that_launchers_try_again(error, status):
    program = (
        f"from patchail_jax.errors import {error}; from patchail_jax.programs.console import start\n"
        f"def program(words):\n    raise {error}('one line')\n"
        "start(program, [])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "error: one line\n")
