"""What the README says was measured is what the files in results/ hold."""

import csv
import json
import re
from pathlib import Path

import pytest

from patchail_jax.programs.command_line import parse
from patchail_jax.reports.kept_results import results
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


def test_the_paper_s_scores_that_the_page_of_results_compares_with_are_table_1_s():
    page = (ROOT / "docs" / "results.md").read_text().replace("\n", " ")
    shown = re.findall(r"(\d+) of (?:the expert's )?(\d+) on ([a-z_]+)", page.partition("after 500,000 frames")[2])
    with (ROOT / "third_party" / "paper_table1.csv").open() as stream:
        paper = {
            row["task"]: (row["PatchAIL"], row["Expert"]) for row in csv.DictReader(stream) if row["frames"] == "500000"
        }
    assert len(shown) == 6
    assert all(paper[task] == (score, expert) for score, expert, task in shown)


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
