"""Rules of the house that no linter has: what lies at the root, how large a function may be, what has one home."""

import ast
import collections
import re
from pathlib import Path

import pytest

from patchail_jax.methods.method import Method

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "patchail_jax"
AT_THE_ROOT = {"__init__", "__main__", "main", "api", "loop", "types", "arrays", "errors"}
MOST_ARGUMENTS, MOST_LINES, FILE_LINES, LOOP_LINES = 12, 90, 250, 150
PURE = ("equations", "networks", "updates", "maps")  # where every array has a shape in its type
NO_NAME = {"utils", "helpers", "common", "misc", "base"}
NAMED_BY_MODULE = {"State", "Learner"}  # always written with it: bc.State, drqv2.Learner
NAMED_AS_ELSEWHERE = {"programs/torch_networks.py"}  # the same networks, in PyTorch

# Modules that have one home: who may import them, by paths below the package.
HOMES = {
    "dm_control": ("envs/tasks.py", "envs/rendering.py"),  # which choose the OpenGL before
    "mujoco": ("envs/",),
    "wandb": ("outputs/dashboards.py",),
    "orbax": ("storage/checkpoints.py", "storage/checkpoint_"),
    "ott": ("equations/optimal_transport.py",),
    "matplotlib": ("reports/",),
    "psutil": ("storage/memory.py",),
    "rich": ("launch/table.py",),
    "filelock": ("storage/run_folder.py",),
    "ml_collections": ("api.py", "run/", "programs/", "configs/", "launch/options.py"),
    "absl": ("programs/command_line.py",),
    "av": ("demos/video_frames.py", "outputs/video.py"),
    "h5py": ("demos/hdf5_inside.py",),
    "minari": ("demos/import_minari.py",),
    "torch": ("programs/torch_networks.py", "programs/torch_update.py", "programs/against_torch.py"),
    "pyarrow": ("demos/import_lerobot.py", "demos/lerobot_tables.py", "outputs/lerobot_dataset.py"),
}


def modules():
    """Every module by its path below the package; launch and configs are seen through their links."""
    found = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    for room in ("launch", "configs"):
        found |= {path.relative_to(ROOT).as_posix(): path for path in (ROOT / room).rglob("*.py")}
    return found


TREES = {name: ast.parse(path.read_text()) for name, path in modules().items()}


def functions():
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{name}:{node.name}", node


def imported(tree):
    """Top-level names of the packages that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_the_root_holds_what_is_on_the_list():
    assert {path.stem for path in PACKAGE.glob("*.py")} == AT_THE_ROOT


def test_no_function_takes_too_many_arguments_or_lines():
    wrong = []
    for name, node in functions():
        arguments = node.args
        count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs)
        count -= bool(arguments.args) and arguments.args[0].arg in ("self", "cls")
        lines = node.end_lineno - node.lineno + 1
        if count > MOST_ARGUMENTS or lines > MOST_LINES:
            wrong.append(f"{name}: {count} arguments, {lines} lines")
    assert not wrong, wrong


def test_a_file_is_read_in_one_sitting():
    lines = {name: len(path.read_text().splitlines()) for name, path in modules().items()}
    assert {name: count for name, count in lines.items() if count > FILE_LINES} == {}


def test_the_loop_is_short():
    assert len((PACKAGE / "loop.py").read_text().splitlines()) <= LOOP_LINES


@pytest.mark.parametrize("room", PURE)
def test_the_pure_rooms_know_no_any(room):
    found = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        if name.startswith(f"{room}/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert not found, found


@pytest.mark.parametrize("package", HOMES)
def test_what_has_one_home_is_imported_there_alone(package):
    users = [name for name, tree in TREES.items() if package in imported(tree)]
    assert users and not [name for name in users if not name.startswith(HOMES[package])], users


def test_pmap_is_called_in_devices_alone():
    users = {
        name.split("/")[0]
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("pmap", "shard_map")
    }
    assert users == {"devices"}


def test_names_say_something():
    assert not [name for name in TREES if Path(name).stem in NO_NAME]


def test_no_two_public_classes_have_one_name():
    homes = collections.defaultdict(set)
    for name, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(name)
    doubles = {word: at - NAMED_AS_ELSEWHERE for word, at in homes.items() if word not in NAMED_BY_MODULE}
    assert not {word: at for word, at in doubles.items() if len(at) > 1}


def test_a_method_has_nine_fields_at_most():
    assert len(Method._fields) <= 9


def test_every_test_that_the_table_of_faults_names_is_there():
    rows = [line for line in (ROOT / "docs/faults.md").read_text().splitlines() if line.startswith("| ")]
    with_tests = [set(re.findall(r"`(test_\w+)`", row)) for row in rows[1:] if row.count("|") == 4]
    named = set().union(*with_tests, re.findall(r"`(test_\w+)`", (ROOT / "README.md").read_text()))
    there = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert len(with_tests) > 10 and all(with_tests), with_tests
    assert not named - there, named - there
