"""Runs are seeds of one another where task, method and config are one; all else is refused, and named."""

import pytest

from patchail_jax.errors import UserError
from patchail_jax.programs.reports import main
from patchail_jax.reports.runs import find_runs
from patchail_jax.reports.seeds import by_name, differences
from tests.reports.fakes import make_run

POOLING = ("table1", "aggregate", "curves")


def refused(words, tmp_path):
    """The one line; nothing is written."""
    with pytest.raises(UserError) as error:
        main([*words, f"--output={tmp_path / 'out'}"])
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
    return str(error.value)


@pytest.mark.parametrize("report", POOLING)
def test_runs_of_several_configs_are_no_seeds_of_one(tmp_path, report):
    for size in (1, 2, 8):
        make_run(tmp_path / f"kernel_{size}", discriminator={"kernel_size": size})
    assert refused([report, str(tmp_path)], tmp_path) == (
        "cheetah_run, patchail: runs differ in discriminator.kernel_size (1, 2, 8): name one sweep's folder, or use "
        "curves --by=discriminator.kernel_size"
    )


@pytest.mark.parametrize("report", POOLING)
def test_other_seeds_of_other_configs_are_no_seeds_of_one_either(tmp_path, report):
    for seed, count in enumerate((5, 10)):
        make_run(tmp_path, seed=seed, demos={"num_demonstrations": count, "path": f"{count}.npz"})
    said = refused([report, str(tmp_path)], tmp_path)
    assert "demos.num_demonstrations (5, 10), demos.path (5.npz, 10.npz)" in said
    assert said.endswith("--by=demos.num_demonstrations")  # which separates the other field too


@pytest.mark.parametrize("report", POOLING)
def test_a_seed_that_is_there_twice_is_refused(tmp_path, report):
    one, other = (make_run(tmp_path / name, seed=3) for name in ("one", "other"))
    said = refused([report, str(tmp_path)], tmp_path)
    assert said == f"cheetah_run, patchail, seed 3 is there twice, in {one} and in {other}: name one of them"


def test_a_field_that_is_drawn_by_is_a_difference_no_more_but_another_is(tmp_path):
    for size in (1, 2):
        for seed in (0, 1):
            make_run(tmp_path / f"kernel_{size}", seed=seed, discriminator={"kernel_size": size})
    groups = by_name(find_runs([tmp_path]), by="discriminator.kernel_size")
    assert [len(group) for group in groups.values()] == [2, 2]
    assert "differ in discriminator.kernel_size" in refused(["curves", str(tmp_path), "--by=seed"], tmp_path)
    make_run(tmp_path / "other", seed=2, discriminator={"kernel_size": 2}, replay={"n_step": 1})
    said = refused(["curves", str(tmp_path), "--by=discriminator.kernel_size"], tmp_path)
    assert "runs differ in replay.n_step (3, 1)" in said


def test_how_a_run_was_made_is_no_difference(tmp_path):
    make_run(tmp_path, seed=0, run_folder="a", devices=1, log={"films": False})
    make_run(tmp_path, seed=1, run_folder="b", devices=2, num_frames=500_000, checkpoint={"keep": 5})
    make_run(tmp_path, seed=2, env={"workers": "inline"})
    ((_, group),) = by_name(find_runs([tmp_path])).items()
    assert len(group) == 3


def test_a_field_that_an_older_run_does_not_have_is_no_difference(tmp_path):
    one, other = (
        run._replace(config={**run.config, "env": {**run.config["env"], **new}})
        for new, run in zip(({}, {"new": 1}), map(_run, (tmp_path / "a", tmp_path / "b")), strict=True)
    )
    assert differences([one, other]) == {}


def _run(path):
    (run,) = find_runs([make_run(path)])
    return run


def test_many_differences_are_one_line(tmp_path):
    for seed in range(9):
        replay = {"n_step": 1 + seed, "batch_size": 8 + seed}
        make_run(tmp_path, seed=seed, replay=replay, network={"hidden_size": 9 + seed}, reward={"scale": 0.5 * seed})
    said = refused(["table1", str(tmp_path)], tmp_path)
    assert "(9, 10, 11, 12, 13, 14, ...)" in said and "and 1 more: name" in said and len(said) < 400
