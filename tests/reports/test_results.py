"""Results that are kept: gathered from run folders, and the page that is written from them alone."""

import json

import pytest

from patchail_jax.programs.reports import main as reports
from patchail_jax.reports.results import results, write_table
from tests.reports.fakes import make_run


def test_results_go_where_results_are_kept_unless_another_folder_is_named(tmp_path, monkeypatch, capsys):
    folder = make_run(tmp_path / "runs", num_frames=40_000, returns=returns(0.001))
    (folder / "versions.json").write_text('{"machine": "a machine, 1 core"}')
    monkeypatch.chdir(tmp_path)
    reports(["results", "runs"])
    assert capsys.readouterr().out.splitlines() == [
        "results/small/cheetah_run/patchail/seed_0.csv",
        "results/README.md",
    ]


def returns(scale):
    return lambda frame: scale * frame


@pytest.fixture
def root(tmp_path):
    """Four runs, one of which has only begun, with what each was made with."""
    for method, task, seed, scale in (
        ("patchail", "cheetah_run", 0, 0.001),
        ("patchail", "cheetah_run", 1, 0.002),
        ("drqv2", "finger_spin", 0, 0.0005),
    ):
        folder = make_run(
            tmp_path / "runs", method=method, task=task, seed=seed, num_frames=200_000, returns=returns(scale)
        )
        made = {"jax": "0.10", "git_commit": "abc", "command": f"python train {method}", "machine": "a machine, 1 core"}
        (folder / "versions.json").write_text(json.dumps(made))
    begun = make_run(tmp_path / "runs", task="finger_spin", until=-1)
    (begun / "versions.json").write_text("{}")
    reports(["results", str(tmp_path / "runs"), f"--output={tmp_path / 'results'}", "--size=small"])
    return tmp_path / "results"


def test_each_run_with_an_evaluation_is_kept_with_how_it_was_made(root, capsys):
    kept = {str(one.path.relative_to(root)): one.about for one in results(root / "small")}
    assert list(kept) == [
        "small/cheetah_run/patchail/seed_0.csv",
        "small/cheetah_run/patchail/seed_1.csv",
        "small/finger_spin/drqv2/seed_0.csv",
    ]
    about = kept["small/finger_spin/drqv2/seed_0.csv"]
    assert (about["command"], about["commit"], about["machine"]) == ("python train drqv2", "abc", "a machine, 1 core")
    assert about["finished"] and about["versions"] == {"jax": "0.10"} and about["config"]["num_frames"] == 200_000


def test_the_page_has_a_row_a_run_and_the_methods_means_over_all_of_theirs(root):
    page = write_table(root).read_text()
    cheetah = next(results(root / "small")).run.expert_return
    for seed, last in ((0, 200.0), (1, 400.0)):
        share = f"{last / cheetah:.0%}"
        row = f"| cheetah_run | patchail | {seed} | {last:.1f} | {last:.1f} | {share} | 200,000 of 200,000 | 6.0 |"
        assert f"{row} a machine, 1 core |" in page
    low, middle, high = (f"{last / cheetah:.0%}" for last in (200.0, 300.0, 400.0))
    assert f"| PatchAIL | 1 | 2 | {middle} | {low} to {high} |" in page  # of two runs none is cut off
    assert "| DrQ-v2 | 1 | 1 | 10% | - |" in page  # one seed says nothing of its spread
    assert page.count("(small.png)") == 1 and (root / "small.png").stat().st_size > 10_000
