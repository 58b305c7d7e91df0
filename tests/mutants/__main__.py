"""Puts the mutants of ``mutants.toml`` in a copy of the project, one at a time, and says which of them no test sees.

``python -m tests.mutants [--only=PART OF A NAME] [--after=NAME]``; exit status 1 if one survives, or is no mutant any
more. Each is tested in a fork of one process that has imported what never changes: imports take longer than most of
the tests.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from tests.mutants.listed import Mutant, mutated, read

ROOT = Path(__file__).parents[2]
PASSED, FAILED = 0, 1  # of pytest; all else is a mutant that cannot be run


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def copy_project(to: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, to / name
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)


def import_what_never_changes(copy: Path) -> None:
    """The tests' surroundings and the packages; of the product nothing that stays."""
    os.chdir(copy)
    sys.path[:] = [str(copy), *(entry for entry in sys.path if entry not in ("", str(ROOT)))]
    sys.dont_write_bytecode = True  # a mutant may be as long and as old as the file in whose place it stands
    os.environ |= {"MUJOCO_GL": "disabled", "PATCHAIL_TEST_RUN": f"mutants_{os.getpid()}"}
    os.environ["PYTHONPATH"] = str(copy)
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    import jaxtyping

    # Types of arrays are checked when the tests run; here a mutant must be seen by what it computes.
    jaxtyping.install_import_hook = lambda *_: None
    # First the tests' surroundings: jax reads them once.
    for name in ("tests.conftest", "flax.linen", "hypothesis.extra.numpy", "ml_collections", "optax", "pytest"):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.split(".")[0] == "patchail_jax"]:
        del sys.modules[name]
    warnings.filterwarnings("ignore", message=".*os.fork", category=RuntimeWarning)  # jax has not begun to compute


def outcome(tests: list[str], output: Path) -> int:
    """The exit status of pytest in a process of its own."""
    process = os.fork()
    if not process:
        written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(written, 1)
        os.dup2(written, 2)
        import pytest

        options = [
            "-x",
            "-q",
            "--tb=short",
            "--timeout=300",
            "--hypothesis-seed=0",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
        ]
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        os._exit(int(pytest.main([*options, *tests])))
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def trouble_with(mutant: Mutant, copy: Path) -> str:
    """Nothing for a mutant that a test sees."""
    path, output = copy / mutant.file, copy / "output"
    source = path.read_text()
    try:
        path.write_text(mutated(source, mutant))
        status = outcome(list(mutant.tests), output)
    except ValueError as error:
        return str(error)
    finally:
        path.write_text(source)
    if status == PASSED:
        return "SURVIVED"
    return "" if status == FAILED else f"cannot be run, status {status}:\n{output.read_text()[-3000:]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description="Which small faults does no test see?")
    parser.add_argument("--only", action="append", default=[], help="part of a mutant's name; may be given again")
    parser.add_argument("--after", default="", help="goes on behind this one")
    arguments, listed = parser.parse_args(), read()
    names = [mutant.name for mutant in listed]
    first = names.index(arguments.after) + 1 if arguments.after in names else 0
    chosen = [mutant for mutant in listed[first:] if any(part in mutant.name for part in arguments.only or [""])]
    if not chosen or (arguments.after and not first):
        say(f"no such mutant: --only={arguments.only!r} --after={arguments.after!r}")
        return 1
    with tempfile.TemporaryDirectory(prefix="mutants_") as folder:
        copy = Path(folder)
        copy_project(copy)
        import_what_never_changes(copy)
        try:
            return run(chosen, copy)
        finally:
            os.chdir(ROOT)
            shutil.rmtree(os.environ.get("JAX_COMPILATION_CACHE_DIR", ""), ignore_errors=True)


def run(chosen: list[Mutant], copy: Path) -> int:
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    began = time.monotonic()
    if outcome(tests, copy / "output") != PASSED:
        say(f"without a mutant these tests must pass:\n{(copy / 'output').read_text()[-3000:]}")
        return 1
    say(f"{len(chosen)} mutants; their {len(tests)} tests pass without them ({time.monotonic() - began:.0f} s)")
    wrong = []
    for number, mutant in enumerate(chosen, 1):
        start = time.monotonic()
        trouble = trouble_with(mutant, copy)
        wrong += [mutant.name] if trouble else []
        say(f"{number:4} {time.monotonic() - start:5.1f} s  {trouble or 'killed'}: {mutant.name}")
    say(f"{len(chosen) - len(wrong)} of {len(chosen)} killed in {(time.monotonic() - began) / 60:.1f} minutes")
    for name in wrong:
        say(f"not killed: {name}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
