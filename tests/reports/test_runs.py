"""Runs are read as they are: finished, going on, or stopped, and never left out."""

import os

import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.reports.runs import find_runs, incomplete_lines, read_run
from patchail_jax.reports.table1 import default_frames
from patchail_jax.storage.run_folder import open_run
from tests.reports.fakes import make_run


def test_every_run_below_the_folders_is_found_once_and_sorted(tmp_path):
    for seed in (1, 0):
        make_run(tmp_path, seed=seed)
    (make_run(tmp_path, method="bc") / "wandb").mkdir()
    (tmp_path / "cheetah_run" / "bc" / "seed_0" / "wandb" / "config.json").write_text("{}")  # none of ours
    runs = find_runs([tmp_path, tmp_path / "cheetah_run" / "patchail" / "seed_1"])
    assert [(run.method, run.seed) for run in runs] == [("bc", 0), ("patchail", 0), ("patchail", 1)]


def test_links_that_lead_in_a_circle_are_not_followed_twice(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).symlink_to(tmp_path)
    (tmp_path / "elsewhere").symlink_to(make_run(tmp_path / "runs"))
    assert len(find_runs([tmp_path])) == 1


def test_a_damaged_lease_is_named_with_what_to_do(tmp_path):
    run = make_run(tmp_path)
    for content in ("", "null", '{"host": "here"}'):
        (run / "lease.json").write_text(content)
        with pytest.raises(UserError, match=r"lease.json is damaged: remove it"):
            read_run(run)


def test_a_run_that_came_to_its_end_is_finished(tmp_path):
    run = read_run(make_run(tmp_path, returns=lambda frame: frame / 1000))
    assert run.status == "finished" and incomplete_lines([run]) == []
    assert run.at(500_000) == 500.0 and run.at(505_000) == 500.0 and run.at(2_000_000) is None


def test_cloning_is_its_last_evaluation_at_any_later_frame_and_does_not_say_where_others_are_compared(tmp_path):
    cloned = read_run(make_run(tmp_path, method="bc", num_frames=220_000, returns=lambda frame: frame / 1000))
    assert cloned.at(500_000) == cloned.at(220_000) == 220.0 and cloned.at(100_000) == 100.0
    short = read_run(make_run(tmp_path, num_frames=320_000))
    assert default_frames([cloned, short]) == [320_000] and default_frames([cloned]) == [220_000]
    cut = read_run(make_run(tmp_path, method="bc", seed=1, num_frames=220_000, until=40_000))
    assert cut.at(500_000) is None


def test_a_run_whose_last_step_leads_beyond_its_end_has_its_last_evaluation_there(tmp_path):
    folder = make_run(tmp_path, until=0, num_frames=160_000, evaluation={"every_frames": 0})
    with (folder / "eval.csv").open("a") as stream:
        stream.write("patchail,cheetah_run,0,160002,812.5,0.1\n")
    assert read_run(folder).at(160_000) == 812.5


def test_a_run_that_went_beyond_what_it_was_last_asked_for_has_what_it_had_there(tmp_path):
    folder = make_run(tmp_path, until=160_000, num_frames=80_000, returns=lambda frame: frame / 1000)
    assert read_run(folder).status == "finished" and read_run(folder).at(80_000) == 80.0


def test_a_run_that_holds_its_lock_is_running_and_one_that_does_not_was_stopped(tmp_path):
    folder = make_run(tmp_path, until=420_000)
    assert read_run(folder).state() == "stopped at 420,000 of 1,000,000 frames"
    config = {"method": "bc", "seed": 0, "num_frames": 100, "env": {"task": "x_y"}, "evaluation": {"every_frames": 10}}
    running = open_run(tmp_path / "live", config=config)
    running.describe(config)
    assert read_run(running.path).state() == "running at no evaluation yet, 0 of 100 frames"
    running.close()
    assert read_run(running.path).status == "stopped"
    assert len(incomplete_lines(find_runs([tmp_path]))) == 2


def test_a_line_that_a_kill_cut_short_does_not_count(tmp_path):
    folder = make_run(tmp_path, until=40_000)
    with (folder / "eval.csv").open("a") as stream:
        stream.write("patchail,cheetah_run,0,60000,12")
    np.testing.assert_array_equal(read_run(folder).frames, [0, 20_000, 40_000])


def test_the_expert_is_that_of_the_run_s_own_demonstrations(tmp_path):
    every, ten, one = (
        read_run(make_run(tmp_path, seed=seed, demos={"num_demonstrations": count})).expert_return
        for seed, count in enumerate((0, 10, 1))
    )
    assert 0 < every == ten <= 1000 and one != ten
    assert read_run(make_run(tmp_path, task="fish_swim")).expert_return is None  # none are shipped


@pytest.mark.parametrize("content", ["", "{", "[]", '{"method": "bc"}'])
def test_a_folder_that_is_no_run_is_one_line(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match="not the folder of a run"):
        find_runs([tmp_path])


def test_no_run_at_all_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no run in"):
        find_runs([tmp_path])


def test_evaluations_without_their_header_are_one_line(tmp_path):
    folder = make_run(tmp_path, until=40_000)
    header, *rows = (folder / "eval.csv").read_text().splitlines(keepends=True)
    (folder / "eval.csv").write_text("".join(rows))
    with pytest.raises(UserError, match="does not begin with the header of its columns"):
        read_run(folder)
    assert "frame" in header


@pytest.mark.parametrize(
    "content", [b"\0" * 500, b"agent,task,se", b"a" * 200_000 + b"\n1\n"], ids=["zeros", "cut", "long"]
)
def test_what_a_power_cut_left_of_evaluations_is_not_taken_for_none(tmp_path, content):
    folder = make_run(tmp_path, until=40_000)
    (folder / "eval.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"eval\.csv( does not begin with the header|, line 1, is no evaluation)"):
        read_run(folder)
    (folder / "eval.csv").write_bytes(b"")  # a run that has just begun
    assert len(read_run(folder).frames) == 0


def test_evaluations_in_a_pipe_are_not_waited_for(tmp_path):
    folder = make_run(tmp_path)
    (folder / "eval.csv").unlink()
    os.mkfifo(folder / "eval.csv")
    with pytest.raises(UserError, match=r"eval\.csv is a pipe or a device"):
        read_run(folder)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        ("patchail,cheetah_run,0,abc,1.0,0.1\n", 5),
        ("patchail,cheetah_run,0,60000,abc,0.1\n", 5),
        ("patchail,cheetah_run,0,60000,1e308,0.1\n", 5),
        ("patchail,cheetah_run,0,60000\n", 5),
        ("patchail,cheetah_run,0,60000,1.0,0.1,7\n", 5),
        ("patchail,cheetah_run,0,60000,1.0,0.1\nagent,task,seed,frame,episode_reward,hour\n", 6),
        ("\0\n", 5),
        ("\udcff\udcfe,,,\n", 5),
    ],
)
def test_a_damaged_line_of_evaluations_is_named(tmp_path, damage, line):
    folder = make_run(tmp_path, until=40_000)
    with (folder / "eval.csv").open("a", errors="surrogateescape") as stream:
        stream.write(damage)
    with pytest.raises(UserError, match=f"{folder / 'eval.csv'}, line {line}, is no evaluation") as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_of_a_frame_that_comes_twice_the_later_line_counts(tmp_path):
    folder = make_run(tmp_path, until=60_000)
    with (folder / "eval.csv").open("a") as stream:
        stream.write("patchail,cheetah_run,0,40000,7.0,0.2\n")
    run = read_run(folder)
    np.testing.assert_array_equal(run.frames, [0, 20_000, 40_000, 60_000])
    np.testing.assert_array_equal(run.returns, [0.0, 0.0, 7.0, 0.0])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_return_that_is_no_number_ends_the_evaluations_and_not_the_run(tmp_path, value):
    returns = lambda frame: value if frame == 500_000 else 1.0  # noqa: E731
    run = read_run(make_run(tmp_path, returns=returns))
    assert (run.status, run.broken_at, run.frames[-1], run.is_complete) == ("finished", 500_000, 480_000, False)
    assert run.at(480_000) == 1.0 and run.at(500_000) is None and run.at(1_000_000) is None
    cloned = read_run(make_run(tmp_path, method="bc", num_frames=600_000, returns=returns))
    assert cloned.at(1_000_000) is None


@pytest.mark.parametrize("name", ["eval.csv", "metrics.jsonl"])
def test_a_run_without_its_config_is_named(tmp_path, name, caplog):
    make_run(tmp_path)
    broken = make_run(tmp_path, seed=1)
    (broken / "eval.csv").rename(broken / name)
    (broken / "config.json").unlink()
    assert [run.seed for run in find_runs([tmp_path])] == [0]
    assert f"{broken} is left out: it has {name} but no config.json" in caplog.text
