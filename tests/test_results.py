"""What README and results/README.md say was measured is what the files in results/ hold."""

import csv
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
RUNS = sorted(RESULTS.glob("*/*/*/seed_*.csv"))


def rows(path):
    with path.open() as stream:
        return [(int(row["frame"]), float(row["episode_reward"]), float(row["hour"])) for row in csv.DictReader(stream)]


def told():
    """Rows of the table of results, by size, task, method and seed."""
    found, size = {}, ""
    for line in (RESULTS / "README.md").read_text().splitlines():
        size = {"## The paper's size": "paper"}.get(line, size)
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 8 and cells[2].isdigit():
            found[size, cells[0], cells[1], cells[2]] = cells[3:]
    return found


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_row_of_the_table_is_what_its_file_holds(path):
    size, task, method = path.relative_to(RESULTS).parts[:3]
    last, best, frames, minutes, machine = told()[size, task, method, path.stem.removeprefix("seed_")]
    evaluations, described = rows(path), json.loads(path.with_suffix(".json").read_text())
    assert (float(last), float(best)) == (evaluations[-1][1], max(one[1] for one in evaluations))
    assert int(frames.replace(",", "")) == evaluations[-1][0] and float(minutes) == round(60 * evaluations[-1][2], 1)
    assert described["machine"].startswith(machine)
    assert described["config"]["env"]["task"] == task and described["config"]["method"] == method
    assert re.fullmatch("[0-9a-f]{40}", described["commit"]) and described["command"]


def test_every_row_of_the_table_has_a_file():
    assert len(told()) == len(RUNS) > 0


def test_the_readme_s_milliseconds_on_a_gpu_are_those_measured():
    measured = json.loads((RESULTS / "paper/bench_h200.json").read_text())
    readme = (ROOT / "README.md").read_text()

    def shown(*labels):
        cases = [measured["update"][label] for label in labels]
        return [", ".join(f"{case[field]:.1f}" for case in cases) for field in ("ms", "floor_ms")]

    for start, labels in (
        ("`patchail`, rewards at episode end", ["patchail, at_episode_end, bfloat16"]),
        ("`patchail_w`, `patchail_b`, rewards at update", [f"patchail_{kind}, at_update, bfloat16" for kind in "wb"]),
        ("`shared_encoder_ail`, `drqv2`", ["shared_encoder_ail, bfloat16", "drqv2, bfloat16"]),
    ):
        assert f"| {start} | {' | '.join(shown(*labels))} |" in readme
    ours = [shown(f"patchail, at_update, {precision}") for precision in ("bfloat16", "float32")]
    milliseconds, floors = ("; ".join(both) for both in zip(*ours, strict=True))
    assert f"| `patchail`, rewards at update; in float32 | {milliseconds} | {floors} |" in readme
    for rate in measured["environments"].values():
        assert f"{rate:,.0f} " in readme
