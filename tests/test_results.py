"""What the README says was measured is what the files in results/ hold."""

import json
import re
from pathlib import Path

import pytest

from patchail_jax.programs.command_line import parse
from patchail_jax.reports.results import results
from patchail_jax.storage.run_config import flatten

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
README = (ROOT / "README.md").read_text()


def test_the_readme_s_results_are_rows_of_the_files():
    section = README.partition("\n## Results\n")[2].partition("\n## ")[0]
    shown = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| size ")]
    kept = {f"| {size.name} {one.row()}" for size in RESULTS.iterdir() if size.is_dir() for one in results(size)}
    assert shown and set(shown) <= kept


def test_the_readme_s_speed_is_that_measured():
    (shown,) = re.findall(r"\| ([\d.]+) ms on an H200 \|", README)
    measured = json.loads((RESULTS / "paper/bench_h200.json").read_text())
    assert shown == f"{measured['update']['patchail, at_update, bfloat16']['ms']:.1f}"


def test_the_readme_is_one_screen_after_another_and_no_book():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("name", ["small", "quickstart"])
def test_what_was_tried_differs_from_what_is_now(name):
    """A value that has become the preset's own is no difference any more."""
    for tried in json.loads((RESULTS / f"tried_{name}.json").read_text()):
        task = tried["task"] if tried["task"].startswith("walker") else tried["task"].partition("_")[0]
        words = {"small": f"{task}:{tried['method']}+small", "quickstart": f"quickstart:{tried['method']}"}[name]
        now = flatten(parse(["train", f"--config={words}"]).config.to_dict())
        stale = {field: value for field, value in tried["differs"].items() if now[field] == value}
        assert not stale, (tried["task"], tried["seed"], stale)
