"""The list of mutants fits the project as it is; ``make mutants`` says whether the tests see them."""

import ast
from pathlib import Path

import pytest

from tests.mutants.listed import Mutant, mutated, read

ROOT = Path(__file__).parents[2]


def test_every_mutant_changes_one_place_of_a_program():
    for mutant in read():
        source = (ROOT / mutant.file).read_text()
        changed = ast.parse(mutated(source, mutant))
        assert ast.dump(changed) != ast.dump(ast.parse(source)), f"{mutant.name!r} changes nothing"


def test_every_mutant_has_a_name_of_its_own_and_tests_that_are_there():
    mutants = read()
    assert len({mutant.name for mutant in mutants}) == len(mutants) >= 40
    for mutant in mutants:
        for test in mutant.tests:
            path, _, function = test.partition("::")
            assert (ROOT / path).exists(), test
            assert not function or f"def {function.partition('[')[0]}(" in (ROOT / path).read_text(), test


def test_a_mutant_whose_text_is_gone_is_named():
    gone = Mutant("the sign", "a.py", "x = -y", "x = y", ("t",))
    assert mutated("x = -y\n", gone) == "x = y\n"
    for source in ("x = y\n", "x = -y\nx = -y\n"):
        with pytest.raises(ValueError, match="'the sign' is out of date"):
            mutated(source, gone)
