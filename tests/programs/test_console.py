"""The two ends of a program: where its words go, and its status."""

import subprocess
import sys
from pathlib import Path

import pytest

from patchail_jax.files.home import expanded

SAYS = (
    "import sys; from patchail_jax.programs.console import start; "
    "start(lambda words: sys.stdout.write(chr(10).join(map(str, range(99999)))) and 0, [])"
)


@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [
        (">/dev/null", 0, ""),
        (">&-", 0, ""),
        (">/dev/full", 1, "error: a file: No space left on device: free some space\n"),
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


def test_a_name_of_two_lines_makes_no_two_lines_of_the_error():
    program = (
        "from patchail_jax.errors import UserError; from patchail_jax.programs.console import start\n"
        "def program(words):\n    raise UserError('a' + chr(10) + 'b' + chr(27) + '[2J é.npz: no such file')\n"
        "start(program, [])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: a\\nb\\x1b[2J é.npz: no such file\n")


@pytest.mark.parametrize(
    ("opened", "said"),
    [
        ("open('none/such.json', 'w')", "error: none/such.json: No such file or directory: check the name"),
        ("open('/etc/hostname/x')", "error: /etc/hostname/x: Not a directory: check the name"),
        ("open('/tmp', 'w')", "error: /tmp: Is a directory: name a file"),
        ("open('x' * 300)", f"error: {'x' * 300}: File name too long: give a shorter name"),
    ],
)
def test_a_name_that_cannot_be_opened_is_one_line(opened, said):
    program = f"from patchail_jax.programs.console import start; start(lambda words: {opened} and 0, [])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, f"{said}\n")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (5, "a.png: Input/output error: check the disk"),
        (27, "a.png: File too large: raise the limit of a file's size (ulimit -f), or name another disk"),
        (110, "a.png: Connection timed out: check it"),
        (28, "a.png: No space left on device: free some space"),
    ],
)
def test_trouble_with_a_disk_is_one_line_and_tried_again_by_launchers(number, said):
    opened = f"(_ for _ in ()).throw(OSError({number}, '', 'a.png'))"
    program = f"from patchail_jax.programs.console import start; start(lambda words: {opened} and 0, [])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"error: {said}\n")


def test_an_error_of_the_program_keeps_its_traceback():
    program = "from patchail_jax.programs.console import start; start(lambda words: {}['key'], [])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "KeyError: 'key'" in done.stderr


def test_a_folder_that_is_gone_is_one_line(tmp_path):
    words = f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir ../gone; {sys.executable} -m patchail_jax --version"
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: the folder that this is started in is gone")


@pytest.mark.parametrize("name", ["~nobody-of-that-name/x", "~back.npz"])
def test_a_name_with_a_tilde_that_is_no_user_s_is_a_name(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded(name) == Path(name) and expanded("~/x") == tmp_path / "x" and expanded("x~") == Path("x~")


@pytest.mark.parametrize(
    ("work", "said"),
    [
        ("warnings.warn('a glyph\\nis missing')", "warning: a glyph is missing\n"),
        ("[logging.basicConfig(), logging.getLogger('patchail_jax.x').warning('damaged')][:0]", "damaged\n"),
    ],
)
def test_a_warning_is_one_line_without_its_place_whoever_else_has_set_logging_up(work, said):
    program = (
        f"import logging, warnings; from patchail_jax.programs.console import start; start(lambda words: {work}, [])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, said)


def test_a_log_whose_reader_is_gone_keeps_the_status_and_says_nothing_of_it():
    """As of ``| tee``, which a Ctrl-C ends at once, while the run saves."""
    program = (
        "import logging, sys, time; from patchail_jax.programs.console import show_log, start\n"
        "def stopped(words):\n"
        "    show_log(sys.stdout); time.sleep(0.5); log = logging.getLogger('patchail_jax.x')\n"
        "    log.info('saved'); log.info('twice')\n"
        "    raise KeyboardInterrupt(2)\n"
        "start(stopped, [])"
    )
    command = f'{sys.executable} -c "{program}" | true; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "stopped and saved; the same command resumes this run\n"
