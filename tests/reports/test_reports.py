"""The three reports on runs with known scores: right numbers, in four forms, with every run accounted for."""

import csv
import json
import os

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.lines import Line2D

from patchail_jax.errors import UserError
from patchail_jax.programs.reports import main
from patchail_jax.reports import published, style, table1
from patchail_jax.reports.aggregate import scores_by_method, write_aggregate
from patchail_jax.reports.curves import curves, figure
from patchail_jax.reports.html import write_pages
from patchail_jax.reports.published import METHOD_LABELS
from patchail_jax.reports.results import write_table
from patchail_jax.reports.runs import find_runs, read_run, share_of_expert
from patchail_jax.reports.table1 import cells
from tests.reports.fakes import make_run
from tests.small_files import no_file_larger_than


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two tasks, two methods, three seeds; seed 2 of PatchAIL on cheetah was stopped at 420,000 frames."""
    root = tmp_path_factory.mktemp("runs")
    for task in ("cheetah_run", "walker_walk"):
        for method, score in (("patchail", 600.0), ("bc", 300.0)):
            for seed in range(3):
                until = 420_000 if (task, method, seed) == ("cheetah_run", "patchail", 2) else None
                make_run(
                    root, task=task, method=method, seed=seed, until=until,
                    returns=lambda frame, score=score, seed=seed: (score + 10 * seed) * frame / 1_000_000,
                )  # fmt: skip
    return root


def read(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def written(folder, name, suffixes=(".csv", ".md", ".png", ".pdf")):
    for suffix in suffixes:
        file = folder / f"{name}{suffix}"
        assert file.stat().st_size > 100, file
    assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_table1_has_means_deviations_the_paper_and_the_expert(root, tmp_path, capsys):
    main(["table1", str(root), f"--output={tmp_path}"])
    written(tmp_path, "table1")
    rows = {(row["task"], row["method"], row["frame"]): row for row in read(tmp_path / "table1.csv")}
    assert len(rows) == 8
    row = rows["walker_walk", "patchail", "1000000"]
    assert float(row["mean"]) == pytest.approx(610) and float(row["std"]) == pytest.approx(10 * (2 / 3) ** 0.5)
    assert (row["seeds"], row["runs"]) == ("3", "3")
    assert (float(row["paper_mean"]), float(row["paper_std"])) == (956.0, 3.0)
    expert = read_run(root / "walker_walk" / "patchail" / "seed_0").expert_return
    assert float(row["relative_to_expert"]) == pytest.approx(610 / expert)
    assert float(row["paper_relative_to_expert"]) == pytest.approx(956 / 961)
    short = rows["cheetah_run", "patchail", "500000"]
    assert (short["seeds"], short["runs"]) == ("2", "3") and float(short["mean"]) == pytest.approx(302.5)
    text = (tmp_path / "table1.md").read_text()
    assert "2 of 3 seeds" in text and "seed 2: stopped at 420,000 of 1,000,000 frames" in text
    assert "paper 654 ± 24, 73%" in text
    assert "incomplete: cheetah_run, patchail, seed 2" in capsys.readouterr().err


def test_short_runs_are_compared_at_their_end(tmp_path):
    make_run(tmp_path / "runs", num_frames=100_000, returns=lambda frame: frame / 1000)
    main(["table1", str(tmp_path / "runs"), f"--output={tmp_path}"])
    (row,) = read(tmp_path / "table1.csv")
    assert (row["frame"], row["mean"], row["paper_mean"]) == ("100000", "100.0", "")
    assert row["std"] == ""  # one seed has no deviation


def test_a_score_of_a_near_evaluation_is_said_to_be_one(tmp_path):
    make_run(tmp_path / "runs", num_frames=100_000, returns=lambda frame: frame / 1000)
    for report in ("table1", "aggregate"):
        main([report, str(tmp_path / "runs"), f"--output={tmp_path}", "--frames=24000"])
        assert "evaluation nearest to the frames" in (tmp_path / f"{report}.md").read_text()
    assert [row["mean"] for row in read(tmp_path / "table1.csv")] == ["20.0"]


def test_frames_that_are_named_twice_are_compared_once(tmp_path):
    make_run(tmp_path / "runs", num_frames=100_000)
    for report in ("table1", "aggregate"):
        main([report, str(tmp_path / "runs"), f"--output={tmp_path}", "--frames=40000,40_000"])
        assert [row["frame"] for row in read(tmp_path / f"{report}.csv")] == ["40000"]


def test_curves_are_means_over_the_seeds_that_are_there(root, tmp_path):
    main(["curves", str(root), f"--output={tmp_path}"])
    written(tmp_path, "curves")
    rows = {(row["task"], row["curve"], row["frame"]): row for row in read(tmp_path / "curves.csv")}
    early, late = rows["cheetah_run", "patchail", "400000"], rows["cheetah_run", "patchail", "1000000"]
    assert float(early["mean"]) == pytest.approx(244) and early["seeds"] == "3"
    assert float(late["mean"]) == pytest.approx(605) and late["seeds"] == "2"
    assert "PatchAIL (3 seeds, 1 stopped)" in (tmp_path / "curves.md").read_text()


def test_a_run_without_an_evaluation_is_still_counted(tmp_path):
    folder = make_run(tmp_path)
    (folder / "eval.csv").unlink()
    (curve,) = curves(find_runs([tmp_path]))
    assert curve.label() == "PatchAIL (1 seed, 1 stopped)"
    main(["curves", str(tmp_path), f"--output={tmp_path}"])
    main(["table1", str(tmp_path), f"--output={tmp_path}"])
    assert "0 of 1 seeds" in (tmp_path / "table1.md").read_text()


def test_curves_by_a_field_are_one_a_value(tmp_path):
    for seed, kernel in enumerate((4, 8)):
        make_run(tmp_path, seed=seed, discriminator={"kernel_size": kernel})
    runs = find_runs([tmp_path])
    names = [curve.name for curve in curves(runs, by="discriminator.kernel_size")]
    assert names == ["PatchAIL, kernel_size=4", "PatchAIL, kernel_size=8"]
    with pytest.raises(UserError, match="no config field 'discriminator.colour'"):
        curves(runs, by="discriminator.colour")
    with pytest.raises(UserError, match=r"discriminator is a group .* --by=discriminator\.\w+$"):
        curves(runs, by="discriminator")


def test_the_aggregate_compares_methods_over_tasks(root, tmp_path):
    main(["aggregate", str(root), f"--output={tmp_path}", "--frames=1000000"])
    written(tmp_path, "aggregate_1000000", (".png", ".pdf"))
    rows = {(row["statistic"], row["first"]): row for row in read(tmp_path / "aggregate.csv")}
    better = rows["probability_of_improvement", "patchail"]
    assert (better["second"], float(better["value"]), float(better["low"])) == ("bc", 1.0, 1.0)
    means = rows["interquartile_mean", "patchail"]
    assert means["runs"] == "5" and float(means["low"]) <= float(means["value"]) <= float(means["high"])
    assert "1 of 3 runs not at 1,000,000 frames" in (tmp_path / "aggregate.md").read_text()


def test_one_seed_of_each_task_has_no_interval(tmp_path):
    for method in ("patchail", "bc"):
        make_run(tmp_path, method=method)
    main(["aggregate", str(tmp_path), f"--output={tmp_path / 'new'}"])
    assert {(row["low"], row["high"]) for row in read(tmp_path / "new/aggregate.csv")} == {("", "")}
    page = (tmp_path / "new/aggregate.md").read_text()
    assert page.count("| - | 1 |") == 6 and "nan" not in page


def test_a_mean_says_how_many_seeds_have_come_that_far(tmp_path):
    make_run(tmp_path, seed=0)
    make_run(tmp_path, seed=1, until=20_000)
    main(["curves", str(tmp_path), f"--output={tmp_path / 'new'}"])
    (row,) = [line for line in (tmp_path / "new/curves.md").read_text().splitlines() if "cheetah_run | Patch" in line]
    assert row.split(" | ")[3] == "1"


def test_a_curve_has_no_deviation_where_one_seed_is_left(tmp_path):
    for seed, until in enumerate((40_000, 20_000)):
        make_run(tmp_path / "runs", seed=seed, until=until, returns=lambda frame, seed=seed: 100.0 * seed)
    main(["curves", str(tmp_path / "runs"), f"--output={tmp_path}"])
    assert [row["std"] for row in read(tmp_path / "curves.csv")] == ["50.0", "50.0", ""]


def test_the_best_mean_is_one_of_all_seeds(tmp_path):
    make_run(tmp_path, seed=0, num_frames=60_000, until=20_000, returns=lambda frame: 100 + frame / 1000)
    make_run(tmp_path, seed=1, num_frames=60_000, returns=lambda frame: 900)
    begun = tmp_path / "begun"
    (make_run(begun, task="walker_walk") / "eval.csv").write_text("")
    make_run(begun, task="walker_walk", seed=1, num_frames=1_000_000, returns=lambda frame: 900)
    main(["curves", str(tmp_path), f"--output={tmp_path / 'new'}"])
    rows = (tmp_path / "new/curves.md").read_text().splitlines()
    assert any(row.startswith("| cheetah_run") and row.endswith("| 900.0 | 510.0 |") for row in rows)
    assert any(row.startswith("| walker_walk") and row.endswith("| 900.0 | - |") for row in rows)


def test_methods_without_a_common_task_cannot_be_compared(tmp_path):
    make_run(tmp_path, task="cheetah_run")
    make_run(tmp_path, task="walker_walk", method="bc")
    with pytest.raises(
        UserError,
        match=r"every method.*: none .* on cheetah_run of BC; walker_walk of PatchAIL; "
        "name runs of methods that have a task in common$",
    ):
        main(["aggregate", str(tmp_path), f"--output={tmp_path / 'new'}"])
    assert not (tmp_path / "new").exists()
    make_run(tmp_path, task="walker_walk", until=400_000)
    with pytest.raises(UserError, match=r"cheetah_run of BC; walker_walk of PatchAIL; choose others with --frames$"):
        main(["aggregate", str(tmp_path), f"--output={tmp_path / 'new'}", "--frames=500000"])


def test_a_default_frame_that_no_run_has_come_to_is_left_out_of_the_aggregate(tmp_path):
    runs, output = (
        [read_run(make_run(tmp_path / "runs", seed=seed, until=600_000)) for seed in range(2)],
        tmp_path / "a",
    )
    write_aggregate(runs, output, frames=None)
    assert {row["frame"] for row in read(output / "aggregate.csv")} == {"500000"}
    assert not (output / "aggregate_1000000.png").exists()
    assert "- 1,000,000 frames: no task has scores" in (output / "aggregate.md").read_text()
    with pytest.raises(UserError, match="at 1,000,000 frames: .*choose others with --frames$"):  # what was asked for
        write_aggregate(runs, tmp_path / "b", frames=[500_000, 1_000_000])
    early = [read_run(make_run(tmp_path / "early", until=300_000))]
    with pytest.raises(UserError, match="at 500,000 frames: .*choose others with --frames$"):
        write_aggregate(early, tmp_path / "b", frames=None)
    assert not (tmp_path / "b").exists()


def test_tasks_without_an_expert_or_a_score_are_named(tmp_path):
    make_run(tmp_path, task="fish_swim")  # no demonstrations are shipped
    with pytest.raises(UserError, match="none are there on fish_swim of the expert$"):
        main(["aggregate", str(tmp_path), f"--output={tmp_path}"])
    (make_run(tmp_path / "begun") / "eval.csv").unlink()
    with pytest.raises(UserError, match="none are there on cheetah_run of PatchAIL; choose others with --frames$"):
        main(["aggregate", str(tmp_path / "begun"), f"--output={tmp_path}"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table"], "invalid choice"),
        (["table1"], "required"),
        (["table1", "/nowhere"], "no run in /nowhere"),
        (["table1", "/nowhere", "--frames=soon"], "no whole number from 1"),
    ],
)
def test_bad_input_is_one_line(words, message):
    with pytest.raises(UserError, match=message) as error:
        main(words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("frames", [3_000_000, 10**9])
@pytest.mark.parametrize("method", ["patchail", "bc"])
def test_frames_no_run_has_come_to_are_one_line(tmp_path, method, frames):
    make_run(tmp_path / "runs", method=method, until=20_000)
    with pytest.raises(UserError, match=f"no run has an evaluation near {frames:,} frames"):
        main(["table1", str(tmp_path / "runs"), f"--output={tmp_path}", f"--frames={frames}"])


def test_cloning_is_its_last_evaluation_however_far_others_have_come(tmp_path):
    folder = make_run(tmp_path, method="bc", num_frames=40_000, returns=lambda frame: frame)
    assert read_run(folder).at(10**30) == 40_000


def test_frames_of_which_one_is_refused_leave_no_figure_of_another(root, tmp_path):
    with pytest.raises(UserError, match="no task has scores of every method"):
        main(
            ["aggregate", str(root / "walker_walk/patchail"), f"--output={tmp_path / 'out'}", "--frames=500000,3000000"]
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("table1.csv", lambda runs, output: table1.write_table1(runs, output, frames=None)),
        ("cheetah_run_patchail_0.html", write_pages),
        ("README.md", lambda runs, output: write_table(output)),
    ],
)
def test_a_report_that_does_not_fit_leaves_the_one_that_was_there(tmp_path, name, write):
    runs = find_runs([make_run(tmp_path / "runs", until=0)])
    (tmp_path / "out").mkdir()
    before = "# Results\n\nLearning curves that this code made, one row per run."
    (tmp_path / "out" / name).write_text(before)
    with no_file_larger_than(50), pytest.raises(OSError, match="File too large") as error:
        write(runs, tmp_path / "out")
    assert (error.value.filename, os.listdir(tmp_path / "out")) == (str(tmp_path / "out" / name), [name])
    assert (tmp_path / "out" / name).read_text() == before


@pytest.mark.parametrize("report", ["table1", "html"])
def test_a_folder_whose_name_is_no_text_is_reported(tmp_path, report):
    make_run(tmp_path / os.fsdecode(b"r\xff"), until=500_000)
    for _ in range(2):  # a page is replaced by a newer one of its run
        main([report, str(tmp_path), f"--output={tmp_path / 'out'}"])
    text = "".join(path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix in (".md", ".html"))
    assert r"r\udcff" in text


def test_where_a_return_is_no_number_the_run_has_not_got_there(tmp_path, capsys):
    for seed, broken in enumerate((1_000_000, 500_000, 0)):
        make_run(
            tmp_path / "runs", seed=seed, returns=lambda frame, broken=broken: frame / 1000 if frame < broken else "nan"
        )
    make_run(tmp_path / "runs", seed=3, returns=lambda frame: frame / 1000)
    for report in ("table1", "curves", "aggregate"):
        main([report, str(tmp_path / "runs"), f"--output={tmp_path}"])
        said = "seed 1: finished; its return is not a number from 500,000 frames on"
        assert said in capsys.readouterr().err and said in (tmp_path / f"{report}.md").read_text()
    early, late = read(tmp_path / "table1.csv")
    assert (early["mean"], early["seeds"], early["runs"]) == ("500.0", "2", "4")
    assert (late["mean"], late["seeds"], late["runs"]) == ("1000.0", "1", "4")
    assert "PatchAIL (4 seeds, 3 not a number)" in (tmp_path / "curves.md").read_text()
    points = {row["frame"]: row for row in read(tmp_path / "curves.csv")}
    assert [points[str(frame)]["seeds"] for frame in (480_000, 500_000, 1_000_000)] == ["3", "2", "1"]
    assert "3 of 4 runs not at 1,000,000 frames" in (tmp_path / "aggregate.md").read_text()


def test_the_figure_says_which_runs_are_not_complete_where_it_has_several_tasks(root):
    drawn = figure(curves(find_runs([root])))
    titles = [axis.get_title() for axis in drawn.axes]
    assert titles == ["cheetah run (5 of 6 runs complete)", "walker walk"]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert "stopped" in labels and "running" not in labels


def test_a_curve_is_dotted_where_a_seed_is_missing_at_its_start_and_a_single_evaluation_is_a_point(tmp_path):
    first, second = (make_run(tmp_path, seed=seed, until=60_000) for seed in range(2))
    header, _, _, *kept = (second / "eval.csv").read_text().splitlines(keepends=True)  # its folder was removed once
    (second / "eval.csv").write_text("".join([header, *kept]))
    axis = figure(curves(find_runs([tmp_path]))).axes[0]
    drawn = {line.get_linestyle(): line for line in axis.lines if len(line.get_xdata()) == 4}
    assert drawn[":"].get_xdata().tolist() == [0, 20_000, 40_000, 60_000]
    assert np.isnan(drawn["-"].get_ydata()).tolist() == [True, True, False, False]
    (first / "eval.csv").write_text("".join([header, kept[-1].replace(",1,", ",0,", 1)]))
    (line,) = figure(curves([read_run(first)])).axes[0].lines[:1]
    assert line.get_xdata().tolist() == [60_000] and line.get_marker() == "o"


@pytest.mark.parametrize("report", ["curves", "aggregate"])
def test_no_legend_is_wider_than_its_figure(tmp_path, monkeypatch, report):
    drawn = []
    monkeypatch.setattr(style, "save", lambda one, *_: drawn.append(one))
    for seed, method in enumerate(METHOD_LABELS):
        make_run(tmp_path / "runs", method=method, seed=seed, until=500_000, num_frames=600_000)
    main([report, str(tmp_path / "runs"), f"--output={tmp_path}"])
    for one in drawn:
        one.draw_without_rendering()
        (legend,) = one.legends
        assert len(legend.get_texts()) >= len(METHOD_LABELS)
        assert 0 <= legend.get_window_extent().x0 < legend.get_window_extent().x1 <= one.bbox.width
        plt.close(one)
    assert drawn


def test_published_figures_are_all_there():
    table = published.table1()
    assert len(table) == 7 * 2 * 7 and table["quadruped_run", 1_000_000, "PatchAIL-B"] == (416.0, 8.0)
    frames, returns = published.drqv2_curve("cheetah_run")
    assert frames[0] == 0 and returns[10] == 728.5 and published.drqv2_curve("fish_swim") is None
    assert cells([], [500_000]) == []


def losses(root, monkeypatch):
    """Two methods of a task whose rewards are costs: the better one has the smaller loss. The expert loses 150."""
    for method, last in (("patchail", -200.0), ("bco", -1500.0)):
        for seed in range(2):
            returns = lambda frame, last=last, seed=seed: last - seed if frame else -1600.0  # noqa: E731
            make_run(root, method=method, seed=seed, num_frames=100_000, returns=returns)
    monkeypatch.setattr("patchail_jax.reports.runs.expert_return", lambda env, demos: -150.0)


def test_a_negative_return_is_no_share_of_the_expert(tmp_path, monkeypatch):
    """Ratios of losses would say that the larger loss is the better one."""
    losses(tmp_path / "runs", monkeypatch)
    main(["table1", str(tmp_path / "runs"), f"--output={tmp_path}"])
    assert {row["relative_to_expert"] for row in read(tmp_path / "table1.csv")} == {""}
    assert "of expert" not in (tmp_path / "table1.md").read_text()
    with pytest.raises(UserError, match="on cheetah_run of the expert, whose return is not above 0$"):
        scores_by_method(cells(list(map(read_run, sorted((tmp_path / "runs").rglob("seed_*")))), [100_000]))
    assert share_of_expert(5.0, 10.0) == 0.5 and share_of_expert(5.0, 0.0) is share_of_expert(5.0, None) is None


def test_curves_of_negative_returns_lie_inside_their_panel(tmp_path, monkeypatch):
    losses(tmp_path / "runs", monkeypatch)
    found = curves(list(map(read_run, sorted((tmp_path / "runs").rglob("seed_*")))))
    low, high = figure(found).axes[0].get_ylim()
    assert low < -1600 and high > -150


def test_names_that_look_like_mathematics_are_names(tmp_path):
    make_run(tmp_path / "runs", num_frames=100_000, task="cost_$x_{$")
    for report in ("table1", "curves"):
        main([report, str(tmp_path / "runs"), f"--output={tmp_path}"])
        assert (tmp_path / f"{report}.png").stat().st_size > 100


@pytest.mark.parametrize(
    "wrong",
    [
        *({"seed": "x"}, {"seed": None}, {"seed": float("inf")}, {"num_frames": float("inf")}, {"num_frames": 0}),
        *({"demos": None}, {"demos": []}, {"demos": {"path": 5}}, {"evaluation": {"every_frames": float("nan")}}),
        *({"demos": {"num_demonstrations": count}} for count in ("x", 2.5, float("nan"), -1)),
        *({"env": {"task": "walker_walk", **env}} for env in ({"episode_frames": "x"}, {"factory": 5})),
        *({"method": name} for name in ("\ud800", "a\nb", 5)),
    ],
    ids=str,
)  # fmt: skip
def test_a_config_that_is_none_is_one_line(tmp_path, wrong):
    folder = make_run(tmp_path / "runs")
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stored, **wrong}))
    with pytest.raises(UserError, match="seed_0 is not the folder of a run: its config.json is not a run's"):
        main(["table1", str(tmp_path / "runs"), f"--output={tmp_path}"])


def test_a_frame_beyond_all_numbers_is_one_line(tmp_path):
    folder = make_run(tmp_path / "runs")
    with (folder / "eval.csv").open("a") as stream:
        stream.write(f"patchail,cheetah_run,0,{10**30},1.0,0.1\n")
    with pytest.raises(UserError, match=r"eval\.csv, line 53, is no evaluation"):
        main(["curves", str(tmp_path / "runs"), f"--output={tmp_path}"])


def test_the_table_of_one_method_is_as_narrow_as_it_with_numbers_in_the_middle_of_their_rows(root):
    runs = [run for run in find_runs([root]) if run.method == "bc"]
    drawn = table1._figure(cells(runs, [1_000_000]), ["a remark that is longer than the table of one method is wide"])
    edges = [text.get_window_extent() for text in drawn.texts]
    assert all(one.x0 >= 0 and one.x1 <= drawn.bbox.width and one.y0 >= 0 for one in edges)
    rules = sorted(line.get_ydata()[0] * drawn.bbox.height for line in drawn.findobj(Line2D))
    column = next(text.get_position()[0] for text in drawn.texts if text.get_text() == "BC") * drawn.bbox.width
    row = [one for one in edges if abs((one.x0 + one.x1) / 2 - column) < 2 and rules[0] < one.y0 and one.y1 < rules[1]]
    above, below = rules[1] - max(one.y1 for one in row), min(one.y0 for one in row) - rules[0]
    assert len(row) >= 2 and abs(above - below) < 0.05 * drawn.dpi
    assert drawn.get_figwidth() < 3.5


def test_the_legend_says_the_seeds_where_they_are_the_same_in_every_panel(root):
    labels = [text.get_text() for text in figure(curves(find_runs([root]))).legends[0].get_texts()]
    assert "BC (3 seeds)" in labels and "PatchAIL" in labels
