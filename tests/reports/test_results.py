"""Results that are kept: gathered from run folders, and the page that is written from them alone."""

import json
import shutil

import pytest

from patchail_jax.errors import UserError
from patchail_jax.programs.reports import main as reports
from patchail_jax.reports.kept_results import results
from patchail_jax.reports.results import write_table
from tests.reports.fakes import make_run


def test_results_go_where_results_are_kept_unless_another_folder_is_named(tmp_path, monkeypatch, capsys):
    made(tmp_path / "runs", num_frames=40_000, variant="small")
    monkeypatch.chdir(tmp_path)
    reports(["results", "runs"])
    assert capsys.readouterr().out.splitlines() == [
        "results/small/cheetah_run/patchail/seed_0.csv",
        "results/small/cheetah_run/patchail/seed_0.json",
        "results/small.png",
        "results/README.md",
    ]


def made(root, **fields):
    """A run with an evaluation, and with what it was made with."""
    folder = make_run(root, **{"returns": returns(0.001), **fields})
    (folder / "versions.json").write_text('{"machine": "a machine, 1 core"}')
    return folder


def refused(tmp_path, *words):
    """The one line of ``results`` on the runs in ``tmp_path``, which leaves the results as they were."""
    before = {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()}
    with pytest.raises(UserError) as error:
        reports(["results", str(tmp_path / "runs"), f"--output={tmp_path / 'results'}", *words])
    assert {path: path.read_bytes() for path in (tmp_path / "results").rglob("*") if path.is_file()} == before
    assert "\n" not in str(error.value)
    return str(error.value)


def kept(tmp_path, *words):
    reports(["results", str(tmp_path / "runs"), f"--output={tmp_path / 'results'}", *words])


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
            tmp_path / "runs",
            method=method,
            task=task,
            seed=seed,
            variant="small",
            num_frames=200_000,
            returns=returns(scale),
        )
        about = {
            "jax": "0.10",
            "git_commit": "abc",
            "command": f"python train {method}",
            "machine": "a machine, 1 core",
        }
        (folder / "versions.json").write_text(json.dumps(about))
    begun = make_run(tmp_path / "runs", task="finger_spin", variant="small", until=-1)
    (begun / "versions.json").write_text("{}")
    reports(["results", str(tmp_path / "runs"), f"--output={tmp_path / 'results'}", "--size=small"])
    return tmp_path / "results"


def test_each_run_with_an_evaluation_is_kept_with_how_it_was_made(root, capsys):
    found = {str(one.path.relative_to(root)): one.about for one in results(root / "small")}
    assert list(found) == [
        "small/cheetah_run/patchail/seed_0.csv",
        "small/cheetah_run/patchail/seed_1.csv",
        "small/finger_spin/drqv2/seed_0.csv",
    ]
    about = found["small/finger_spin/drqv2/seed_0.csv"]
    assert (about["command"], about["commit"], about["machine"]) == ("python train drqv2", "abc", "a machine, 1 core")
    assert about["finished"] and about["versions"] == {"jax": "0.10"} and about["config"]["num_frames"] == 200_000


def test_the_page_has_a_row_a_run_and_the_methods_means_over_all_of_theirs(root):
    page = write_table(root)[-1].read_text()
    cheetah = next(results(root / "small")).run.expert_return
    for seed, last in ((0, 200.0), (1, 400.0)):
        share = f"{last / cheetah:.0%}"
        row = (
            f"| cheetah_run | patchail | {seed} | 0.0 | {last:.1f} | {last:.1f} | {share} | 200,000 of 200,000 | 6.0 |"
        )
        assert f"{row} a machine, 1 core |" in page
    low, middle, high = (f"{last / cheetah:.0%}" for last in (200.0, 300.0, 400.0))
    assert f"| PatchAIL | 1 | 2 | {middle} | {low} to {high} |" in page  # of two runs none is cut off
    assert "| DrQ-v2 | 1 | 1 | 10% | - |" in page  # one seed says nothing of its spread
    assert page.count("(small.png)") == 1 and (root / "small.png").stat().st_size > 10_000


def test_a_run_that_was_stopped_is_in_no_mean(tmp_path):
    made(tmp_path / "runs", num_frames=200_000)
    made(tmp_path / "runs", seed=1, num_frames=200_000, until=20_000)
    kept(tmp_path, "--size=x")
    page = (tmp_path / "results/README.md").read_text()
    assert "20,000 of 200,000" in page and "| PatchAIL | 1 | 1 |" in page


def test_runs_that_would_become_one_file_are_refused_and_named(tmp_path):
    one, other = (made(tmp_path / "runs" / f"kernel_{size}", discriminator={"kernel_size": size}) for size in (1, 2))
    assert f"{one} and {other} would both become {tmp_path / 'results/x/cheetah_run'}" in refused(tmp_path, "--size=x")
    assert "would both become" in refused(tmp_path, "--size=x", "--force")
    assert not (tmp_path / "results").exists()


def test_a_result_of_another_config_is_replaced_by_force_alone(tmp_path):
    made(tmp_path / "runs")
    kept(tmp_path, "--size=x")
    shutil.rmtree(tmp_path / "runs")
    run = made(tmp_path / "runs", discriminator={"kernel_size": 2})
    said = refused(tmp_path, "--size=x")
    assert (
        f"is of another run than {run}: they differ in discriminator.kernel_size (4, 2)" in said and "--force" in said
    )
    kept(tmp_path, "--size=x", "--force")
    (one,) = results(tmp_path / "results/x")
    assert one.run.config["discriminator"]["kernel_size"] == 2


def test_a_run_that_went_on_replaces_its_result_and_one_that_began_anew_does_not(tmp_path, caplog):
    for frames in (100_000, 200_000):
        made(tmp_path / "runs", num_frames=frames, log={"films": frames > 100_000})
        kept(tmp_path, "--size=x")
        shutil.rmtree(tmp_path / "runs")
    run = made(tmp_path / "runs", num_frames=200_000, until=20_000)
    made(tmp_path / "runs", seed=1, num_frames=200_000, until=20_000)
    kept(tmp_path, "--size=x")
    assert f"goes to 200,000 frames and stays as it is: {run} goes to 20,000. --force" in caplog.text
    assert [one.run.frames[-1] for one in results(tmp_path / "results/x")] == [200_000, 20_000]
    kept(tmp_path, "--size=x", "--force")
    assert [one.run.frames[-1] for one in results(tmp_path / "results/x")] == [20_000, 20_000]


def test_a_run_with_other_evaluations_that_ends_at_the_same_frame_replaces_nothing(tmp_path, caplog):
    made(tmp_path / "runs", num_frames=40_000)
    kept(tmp_path, "--size=x")
    shutil.rmtree(tmp_path / "runs")
    run = made(tmp_path / "runs", num_frames=40_000, returns=returns(0.002))
    kept(tmp_path, "--size=x")
    assert f"stays as it is: {run} goes to 40,000 too, with other evaluations. --force" in caplog.text
    (one,) = results(tmp_path / "results/x")
    assert one.run.returns[-1] == 40.0
    kept(tmp_path, "--size=x", "--force")
    (one,) = results(tmp_path / "results/x")
    assert one.run.returns[-1] == 80.0


def test_a_note_stays_with_its_evaluations_and_is_said_when_it_goes(tmp_path, caplog):
    made(tmp_path / "runs", num_frames=40_000, until=20_000)
    kept(tmp_path, "--size=x")
    about = tmp_path / "results/x/cheetah_run/patchail/seed_0.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "note": "falls over"}))
    for words in ((), ("--force",)):
        kept(tmp_path, "--size=x", *words)
        assert "cheetah_run, patchail: falls over" in (tmp_path / "results/README.md").read_text()
    assert not caplog.text
    shutil.rmtree(tmp_path / "runs")
    made(tmp_path / "runs", num_frames=40_000)
    kept(tmp_path, "--size=x")
    assert "loses its note, which told of other evaluations: falls over" in caplog.text
    assert "falls over" not in (tmp_path / "results/README.md").read_text()


def test_a_named_size_takes_another_config_by_force_alone(tmp_path):
    run = made(tmp_path / "runs", variant="small", discriminator={"kernel_size": 2})
    for size in ("small", "paper"):
        assert refused(tmp_path, f"--size={size}").startswith(f"{run} is not {size}, by ")
    kept(tmp_path, "--size=small", "--force")
    assert (tmp_path / "results/small/cheetah_run/patchail/seed_0.csv").exists()


def test_a_hidden_folder_is_no_size(tmp_path):
    made(tmp_path / "runs", num_frames=40_000)
    kept(tmp_path, "--size=x")
    shutil.copytree(tmp_path / "results/x", tmp_path / "results/.copies/x")
    shutil.copytree(tmp_path / "results/x", tmp_path / "results/.hidden")
    kept(tmp_path, "--size=x")
    assert "hidden" not in (tmp_path / "results/README.md").read_text()


@pytest.mark.parametrize("field", ["machine", "command", "git_commit"])
def test_what_made_a_run_is_text_or_nothing_is_written(tmp_path, field):
    run = made(tmp_path / "runs", num_frames=40_000)
    (run / "versions.json").write_text(json.dumps({field: ["a machine"]}))
    assert f"{run / 'versions.json'}: {field!r} is no text" in refused(tmp_path, "--size=x")


@pytest.mark.parametrize("page", ["# Notes\n", "# Results\n\nOf my own.\n"])
def test_a_page_of_somebody_s_own_is_not_replaced(tmp_path, page):
    made(tmp_path / "runs")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/README.md").write_text(page)
    assert "README.md is no page of results" in refused(tmp_path, "--size=x")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["README.md"]


def test_seeds_of_one_size_are_of_one_config(tmp_path):
    made(tmp_path / "runs")
    kept(tmp_path, "--size=x")
    made(tmp_path / "runs", seed=1, replay={"n_step": 1})
    said = refused(tmp_path, "--size=x", "--force")
    assert "patchail would differ in replay.n_step (3, 1): give each config a --size of its own" in said


@pytest.mark.parametrize("size", ["../../evil", "/evil", "my size|x", "", ".", "a\nb"])
def test_a_size_is_a_plain_name(tmp_path, size):
    made(tmp_path / "runs")
    with pytest.raises(UserError, match="--size"):
        kept(tmp_path, f"--size={size}")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("task", ["../../../evil", "..", "", "a/b"])
def test_a_task_leads_nowhere_else(tmp_path, task):
    run = made(tmp_path / "runs")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "env": {**config["env"], "task": task}}))
    evaluations = (run / "eval.csv").read_text()
    (run / "eval.csv").write_text(evaluations.replace(",cheetah_run,", f",{task},"))
    assert "cannot be called" in refused(tmp_path, "--size=x")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"discriminator": {"kernel_size": 2}}, "is not paper, by discriminator.kernel_size (2, 4)"),
        ({"variant": "published"}, "is not paper, by "),
        (
            {"variant": "small", "discriminator": {"kernel_size": 2}},
            "is not small, by discriminator.kernel_size",
        ),
        ({"variant": "small", "env": {"num_envs": 8}}, "is not small, by env.num_envs (8, 1)"),
    ],
)
def test_what_is_of_no_size_goes_there_by_name_alone(tmp_path, fields, said):
    run = made(tmp_path / "runs", **fields)
    line = refused(tmp_path)
    assert line.startswith(f"{run} {said}") and line.endswith(": give it a --size of its own")


@pytest.mark.parametrize("fields", [{}, {"env": {"num_envs": 8}, "replay": {"updates_per_call": 4}}])
def test_what_is_of_the_paper_goes_there_unnamed(tmp_path, fields):
    made(tmp_path / "runs", **fields)
    kept(tmp_path)
    assert [path.name for path in (tmp_path / "results").iterdir() if path.is_dir()] == ["paper"]


def test_two_sizes_at_once_are_refused(tmp_path):
    small = made(tmp_path / "runs" / "a", variant="small")
    paper = made(tmp_path / "runs" / "b", seed=1)
    assert refused(tmp_path).startswith(f"{small} is small and {paper} is paper: ")


@pytest.mark.parametrize("method", ["patchail", "bc", "drqv2", "laifo"])
def test_what_is_in_small_goes_there_unnamed(tmp_path, method):
    made(tmp_path / "runs", method=method, variant="small", num_frames=40_000)
    kept(tmp_path)
    assert (tmp_path / "results/small/cheetah_run" / method / "seed_0.csv").exists()


def test_nothing_to_keep_and_no_versions_are_one_line_each(tmp_path):
    folder = made(tmp_path / "runs", until=-1)
    assert "none of the runs has an evaluation yet" in refused(tmp_path, "--size=x")
    with pytest.raises(UserError, match="no results in"):
        write_table(tmp_path / "results")
    shutil.rmtree(folder)
    for damage in (None, "{", "[1]"):
        folder = made(tmp_path / "runs")
        (folder / "versions.json").unlink()
        if damage:
            (folder / "versions.json").write_text(damage)
        assert f"{folder / 'versions.json'} cannot be read" in refused(tmp_path, "--size=x")
        shutil.rmtree(folder)


def test_a_return_that_is_no_number_is_said_and_not_in_the_table(tmp_path):
    made(tmp_path / "runs", returns=lambda frame: frame / 1000 if frame < 500_000 else "nan")
    made(tmp_path / "runs", seed=1)
    kept(tmp_path, "--size=x")
    page = (tmp_path / "results/README.md").read_text()
    assert "nan" not in page and "| cheetah_run | patchail | 0 | 0.0 | 480.0 | 480.0 |" in page
    assert "| 480,000 of 1,000,000 |" in page
    assert "cheetah_run, patchail, seed 0: its return is not a number from 500,000 frames on" in page


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("drqv2,cheetah_run,0,40000,9.0,0.2", "is not of the run cheetah_run/patchail/0: put its own file back"),
        ("patchail,cheetah_run,1,40000,9.0,0.2", "is not of the run cheetah_run/patchail/0"),
        ("patchail,cheetah_run,0,-5,9.0,0.2", "is no evaluation"),
        ("patchail,cheetah_run,0,40000,9.0,nan", "is no evaluation"),
        ("patchail,cheetah_run,0,40000,9.0,-1", "is no evaluation"),
    ],
)
def test_evaluations_of_another_run_or_of_no_time_are_refused(tmp_path, row, said):
    folder = made(tmp_path / "runs", num_frames=40_000, until=20_000)
    with (folder / "eval.csv").open("a") as stream:
        stream.write(row + "\n")
    message = refused(tmp_path)
    assert said in message and "eval.csv, line 4" in message


def test_a_run_whose_machine_is_not_known_is_kept(tmp_path):
    folder = made(tmp_path / "runs", variant="small", num_frames=40_000)
    (folder / "versions.json").write_text("{}")
    kept(tmp_path, "--size=small")
    assert "| 40,000 of 40,000 | 6.0 | - |" in (tmp_path / "results/README.md").read_text()


def test_a_line_that_is_being_written_is_not_kept(tmp_path):
    run = made(tmp_path / "runs", until=40_000)
    with (run / "eval.csv").open("a") as stream:
        stream.write("patchail,cheetah_run,0,60000,12")
    kept(tmp_path, "--size=x")
    (one,) = results(tmp_path / "results/x")
    assert one.evaluations.last_frame == 40_000


@pytest.mark.parametrize("damage", ["table", "json", "mixture", "twice"])
def test_what_is_wrong_with_another_size_is_said_before_anything_is_written(tmp_path, damage):
    for seed in (0, 1):
        made(tmp_path / "runs", seed=seed, num_frames=40_000)
    kept(tmp_path, "--size=other")
    about = tmp_path / "results/other/cheetah_run/patchail/seed_1.json"
    told = json.loads(about.read_text())
    if damage == "table":
        about.with_suffix(".csv").write_text("")
    elif damage == "json":
        about.write_text("[" * 10**5)
    else:
        told["config"]["seed" if damage == "twice" else "method"] = 0 if damage == "twice" else "bc"
        about.write_text(json.dumps(told))
    line = refused(tmp_path, "--size=x")
    assert "seed_1" in line or "would differ in method" in line
    assert not (tmp_path / "results/x").exists()


@pytest.mark.parametrize(
    "wrong", [{"config": None}, {"config": {}}, {"machine": 5}, {"config": {"num_frames": float("inf")}}], ids=str
)
def test_a_result_that_is_none_is_one_line(tmp_path, wrong):
    made(tmp_path / "runs", num_frames=40_000)
    kept(tmp_path, "--size=x")
    about = tmp_path / "results/x/cheetah_run/patchail/seed_0.json"
    told = json.loads(about.read_text())
    config = wrong.get("config") and {**told["config"], **wrong["config"]}
    about.write_text(json.dumps({**told, **wrong, **({"config": config} if config else {})}))
    assert "is no result, with the JSON beside it" in refused(tmp_path, "--size=x")


def test_evaluations_that_are_not_those_of_the_json_are_refused(tmp_path):
    for method in ("patchail", "bc"):
        made(tmp_path / "runs", method=method, num_frames=40_000)
    kept(tmp_path, "--size=x")
    place = tmp_path / "results/x/cheetah_run"
    (place / "patchail").rename(place / "bco")
    assert "its config is of the run cheetah_run/patchail/0" in refused(tmp_path, "--size=x")
    (place / "bco").rename(place / "patchail")
    shutil.copy(place / "bc/seed_0.csv", place / "patchail/seed_0.csv")
    assert "is not of the run cheetah_run/patchail/0" in refused(tmp_path, "--size=x")
    evaluations = (tmp_path / "runs/cheetah_run/patchail/seed_0/eval.csv").read_text()
    (place / "patchail/seed_0.csv").write_text(evaluations.removesuffix("\n"))  # its last line is cut short
    assert "its last evaluations are missing" in refused(tmp_path, "--size=x")
