"""Stands in for programs of a machine: ``python VERSION WORDS...``, ``apt-get WORDS...`` or ``uv WORDS...``.

The folder ``MACHINE`` says what the machine is like, by files: ``no_venv``, ``no_network``, ``no_pypi``, ``no_uv`` (uv
cannot reach packages, but pip can), ``no_uv_pythons`` (uv cannot fetch any), ``no_old_pythons`` (apt-get has python3
alone), ``draws`` (OpenGL works), ``hopeless`` (it never will), ``libraries`` (ldconfig's list). ``diary`` gets what was
installed.
"""

import os
import shlex
import sys
from pathlib import Path

MACHINE = Path(os.environ["MACHINE"])


def program(path, *words):
    """Makes ``path`` this file, with ``words`` first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = shlex.join([sys.executable, "-I", "-S", __file__, *words])
    path.write_text(f'#!/bin/sh\nexec {line} "$@"\n')
    path.chmod(0o755)


def write(*words):
    with (MACHINE / "diary").open("a") as diary:
        diary.write(f"{' '.join(words)}\n")


def offline(what):
    if (MACHINE / "no_network").exists():
        sys.exit(f"{what}: no network")


def run_code(version, code):
    if "require_backend" not in code:
        before = f"import sys; sys.version_info = {tuple(map(int, version.split('.')))}"
        if (MACHINE / "no_venv").exists():
            before += "; sys.modules['ensurepip'] = None"
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", f"{before}\n{code}"])
    if "REAL_PYTHON" in os.environ:
        os.execv(os.environ["REAL_PYTHON"], [os.environ["REAL_PYTHON"], "-c", code])
    if not (MACHINE / "draws").exists():
        sys.exit("a warning\nerror: no OpenGL can draw off screen (as told)")


def python(version, *words):
    match words:
        case ["-c", code]:
            run_code(version, code)
        case ["-m", "venv", "--clear", folder]:
            for stamp in Path(folder).glob("ready*"):
                stamp.unlink()
            program(Path(folder) / "bin/python", "python", version)
        case ["-m", "pip", "--version"]:
            sys.exit((MACHINE / "no_pip").exists())
        case ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *asked]:
            offline("pip")
            if (MACHINE / "no_pypi").exists():
                sys.exit("no matching distribution")
            write("pip", *asked)
            if asked == ["uv"]:
                program(Path(".venv/bin/uv"), "uv")
            if asked[0] == "--target":
                program(Path(asked[1]) / "bin/uv", "uv")
        case _:
            raise SystemExit(f"what is {words}?")


def uv(*words):
    if words[0] == "python":
        path = Path(os.environ["UV_PYTHON_INSTALL_DIR"]) / "bin/python3.12"
        if words[1] == "find":
            os.write(1, f"{path}\n".encode())
            return
        if (MACHINE / "no_uv_pythons").exists():
            sys.exit("cannot be fetched")
        program(path, "python", "3.12.8")
        write("uv", *words)
        return
    offline("uv")
    if (MACHINE / "no_uv").exists():
        sys.exit("uv: tunnel error")
    write(
        "uv",
        *(Path(word).read_text().splitlines()[-1] if word.endswith("without_labmaze.txt") else word for word in words),
    )


def apt_get(*words):
    offline("apt-get")
    packages = [word for word in words if word.startswith(("lib", "python"))]
    if "install" not in words:
        return
    if (MACHINE / "no_old_pythons").exists() and "python3.11" in packages:
        sys.exit("E: Unable to locate package python3.11")
    write("apt-get", *packages)
    if "python3.11" in packages:
        program(Path(os.environ["PATH"].split(":")[0]) / "python3.11", "python", "3.11.0")
    if "python3" in packages:
        program(Path(os.environ["PATH"].split(":")[0]) / "python3", "python", "3.11.2")
    if any(package.endswith("-venv") for package in packages):
        (MACHINE / "no_venv").unlink(missing_ok=True)
    if "libosmesa6" in packages and not (MACHINE / "hopeless").exists():
        (MACHINE / "draws").touch()


if __name__ == "__main__":
    {"python": python, "uv": uv, "apt-get": apt_get}[sys.argv[1]](*sys.argv[2:])
