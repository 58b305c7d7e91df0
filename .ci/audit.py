"""Asks for known holes in the installed packages: ``python .ci/audit.py``, by pip-audit, in an environment of its own.

Status 1 where a hole has a version that mends it. A registry that cannot be asked is one line, and no failure.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

SECONDS = 300


def ask(site_packages: str) -> list[dict[str, Any]] | None:
    """pip-audit's entry for each package in the folder; None where it cannot be installed or gets no answer."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        programs, answer = Path(folder) / "bin", Path(folder) / "answer.json"
        install = [programs / "python", "-m", "pip", "install", "--quiet", "pip-audit"]
        audit = [programs / "pip-audit", "--path", site_packages, "--format=json", "--output", answer]
        try:
            for words in (install, [*audit, "--progress-spinner=off"]):
                subprocess.run(words, capture_output=True, timeout=SECONDS, check=words is install)
            dependencies: list[dict[str, Any]] = json.loads(answer.read_text())["dependencies"]
        except (OSError, subprocess.SubprocessError, ValueError):
            return None
        return dependencies


def report(dependencies: list[dict[str, Any]] | None) -> tuple[str, int]:
    """What to print, and the exit status."""
    checked = [entry for entry in dependencies or () if "skip_reason" not in entry]
    if not dependencies or not checked:
        return "pip-audit: the registry gives no answer here; dependencies were not checked\n", 0
    found = [(entry, hole) for entry in checked for hole in entry["vulns"]]
    lines = [
        f"pip-audit: {len(checked)} packages, {len(found)} known holes, {len(dependencies) - len(checked)} unknown"
    ]
    for entry, hole in found:
        mended = ", ".join(hole["fix_versions"]) or "not mended yet"
        lines.append(f"  {entry['name']} {entry['version']}: {hole['id']} ({mended})")
    return "\n".join(lines) + "\n", int(any(hole["fix_versions"] for _, hole in found))


if __name__ == "__main__":
    text, status = report(ask(sysconfig.get_paths()["purelib"]))
    sys.stdout.write(text)
    sys.exit(status)
