"""What every parity test reports: a row of the table that ``--parity-table=FILE`` writes."""

from pathlib import Path

import numpy as np
import pytest

from tests.parity.golden import load, relative

HEAD = "| case | what | kind | error | tolerance | |\n|---|---|---|---|---|---|\n"


def pytest_addoption(parser):
    parser.addoption("--parity-table", metavar="FILE", help="writes the error of every parity case, as markdown")


def pytest_configure(config):
    if config.getoption("--parity-table") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Table(Path(config.getoption("--parity-table"))))


class Table:
    """Collects the rows of all tests, those of pytest-xdist's workers too, and writes them when the session ends."""

    def __init__(self, path):
        self._path, self._rows = path, []

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self._rows += [row for name, row in report.user_properties if name == "parity"]

    def pytest_sessionfinish(self):
        self._path.write_text(HEAD + "".join(sorted(self._rows)))


class Comparison:
    """The case of a test, and what the test says about it."""

    def __init__(self, name, record):
        self.case, self._record = load(name), record

    def error(self, what, error, tolerance, *, kind="equal"):
        """``error`` may be as large as ``tolerance``."""
        self._row(what, kind, error, f"{tolerance:.0e}", good=error <= tolerance)
        assert error <= tolerance, f"{what}: {error:.2e}, more than {tolerance:.0e}"

    def value(self, what, found, member, tolerance, *, kind="equal"):
        """A number, or a small array, is what is recorded as ``member``."""
        self.error(what, relative(found, self.case[member]), tolerance, kind=kind)

    def same(self, what, found, expected):
        """Whole numbers: all alike."""
        self.error(what, int(np.sum(np.asarray(found) != np.asarray(expected))), 0.0)

    def tensors(self, what, member, tree, tolerance, entries=None):
        """The tensors of ``tree`` are those recorded as ``member``; their entries may be off by ``entries``."""
        whole, kept = self.case.tensor_errors(member, tree)
        self.error(f"{what}: 2-norm and sum", whole, tolerance)
        self.error(f"{what}: entries", kept, entries or tolerance)

    def departs(self, what, error, least, most):
        """A departure by design: the error is of a stated size."""
        self._row(what, "departs", error, f"{least:.1e} to {most:.1e}", good=least <= error <= most)
        assert least <= error <= most, f"{what}: {error:.2e}, not {least:.1e} to {most:.1e}"

    def _row(self, what, kind, error, allowed, *, good):
        row = f"| {self.case.name} | {what} | {kind} | {error:.1e} | {allowed} | {'ok' if good else 'FAILS'} |\n"
        self._record("parity", row)


@pytest.fixture
def compare(name, record_property):
    return Comparison(name, record_property)
