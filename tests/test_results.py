"""What the README says was measured is what the files in results/ hold."""

import json
import re
from pathlib import Path

from patchail_jax.reports.results import results

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
