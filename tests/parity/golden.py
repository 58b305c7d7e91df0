"""The recorded numbers of the published program, and how far others are from them.

``PARITY_DATA=FOLDER`` takes another folder of the same form: its ``recipe.py`` makes the inputs of its ``CASES``, and
its ``golden.npz`` holds what the published program made of them.
"""

import functools
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(os.environ.get("PARITY_DATA") or Path(__file__).parent / "published").resolve()

# The largest errors that float32 explains; published/README.md says why each.
FORWARD = 2e-5
LOSS = 2e-5
GRADIENT = 3e-4
PENALTY = 1e-4
STEEP = 2e-4
MOVED = 1e-3
MOVED_ENTRIES = 1e-2
TRANSPORT = 1e-3
REPLAY = 1e-6
FRAME_MEANS = 1e-2
TASK_REWARD = 1e-5
EXACT = 0.0


def _load_recipe():
    specification = importlib.util.spec_from_file_location("parity_recipe", FOLDER / "recipe.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


recipe = _load_recipe()
nested = recipe.nested


@functools.cache
def recorded():
    with np.load(FOLDER / "golden.npz", allow_pickle=False) as members:
        return dict(members)


def cases(kind, suits=lambda spec: True, *, slow=lambda spec: False, scope="function"):
    """Makes a test one for every case of ``kind`` that ``suits``; those that are ``slow`` are marked so."""
    chosen = {name: spec for name, spec in recipe.CASES.items() if spec["kind"] == kind and suits(spec)}
    marked = [pytest.param(name, marks=[pytest.mark.slow] * slow(spec)) for name, spec in chosen.items()]
    return pytest.mark.parametrize("name", marked, scope=scope)


def relative(found, expected):
    """The largest difference over the largest magnitude; infinite where something is no number."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    if not np.isfinite(found).all():
        return np.inf
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


class Case:
    """One case: its sizes, its inputs and what was recorded of it, in float64 wherever that was computed too."""

    def __init__(self, name):
        self.name, self.spec = name, recipe.CASES[name]
        self.inputs = recipe.inputs(name)
        drawn, expected = recipe.fingerprint(self.inputs), int(self["inputs_crc32"])
        assert drawn == expected, f"this numpy draws other inputs of {name}: no recorded number applies"

    def __contains__(self, member):
        return f"{self.name}|{member}" in recorded()

    def __getitem__(self, member):
        exact = f"{self.name}|float64/{member}"
        return recorded()[exact if exact in recorded() else f"{self.name}|{member}"]

    def tree(self, prefix):
        """The inputs below ``prefix`` as flax has them."""
        return nested(self.inputs, prefix)

    def tensor_errors(self, member, tree):
        """The largest errors of any tensor of ``tree``: of its 2-norm and its sum, and of the entries that are kept."""
        names = self[f"{member}/names"].tolist()
        tensors = recipe.flat(tree) if isinstance(tree, dict) else {names[0]: np.asarray(tree)}
        assert sorted(tensors) == sorted(names)
        rows = zip(names, self[f"{member}/numbers"], self[f"{member}/entries"], strict=True)
        errors = [_tensor_errors(tensors[name], numbers, entries) for name, numbers, entries in rows]
        return tuple(max(column) for column in zip(*errors, strict=True))


def _tensor_errors(tensor, numbers, entries):
    norm, total, largest, size = numbers
    found, kept = recipe.summary(tensor)
    assert found[3] == size
    if not np.isfinite(found).all():
        return np.inf, np.inf
    if largest == 0:
        return (0.0 if found[2] == 0 else np.inf), 0.0
    whole = max(abs(found[0] / norm - 1), abs(found[1] - total) / (norm * size**0.5))
    return float(whole), float(np.abs(kept - entries).max() / largest)


@functools.lru_cache(maxsize=2)
def load(name):
    """The case ``name``; the last two stay in memory."""
    return Case(name)
