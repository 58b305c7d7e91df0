"""What the audit says and fails on; a registry that is not there is neither."""

import importlib.util
import subprocess

import pytest

specification = importlib.util.spec_from_file_location("audit", ".ci/audit.py")
audit = importlib.util.module_from_spec(specification)
specification.loader.exec_module(audit)

SOUND = {"name": "numpy", "version": "2.4", "vulns": []}
OURS = {"name": "patchail-jax", "skip_reason": "not on PyPI"}


def with_hole(*mended):
    return {"name": "old", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": list(mended)}]}


def test_only_holes_that_can_be_mended_fail():
    assert audit.report([SOUND, OURS]) == ("pip-audit: 1 packages, 0 known holes, 1 unknown\n", 0)
    text, status = audit.report([SOUND, with_hole()])
    assert status == 0 and "old 1: PYSEC-1 (not mended yet)" in text
    text, status = audit.report([with_hole("1.1", "2.0"), SOUND])
    assert status == 1 and "old 1: PYSEC-1 (1.1, 2.0)" in text


@pytest.mark.parametrize("failing", ["pip", "pip-audit"])
def test_no_answer_is_one_line_and_no_failure(failing, monkeypatch):
    def run(words, *, check, **kwargs):
        if failing == "pip":
            raise subprocess.CalledProcessError(1, words)
        return subprocess.CompletedProcess(words, 1)  # and no file

    monkeypatch.setattr(audit.venv, "create", lambda *args, **kwargs: None)
    monkeypatch.setattr(audit.subprocess, "run", run)
    assert audit.ask("nowhere") is None
    for nothing in (None, [], [OURS]):
        text, status = audit.report(nothing)
        assert status == 0 and text.count("\n") == 1 and "not checked" in text
