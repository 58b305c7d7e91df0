"""Folders that hold other runs than those of a sweep: refused before anything starts, and never counted."""

import json

import pytest
from ml_collections import ConfigDict

from patchail_jax.errors import UserError
from patchail_jax.launch import local, places
from patchail_jax.launch.options import config_of, parse, parser
from patchail_jax.launch.standing import standing
from patchail_jax.programs.console import BAD_INPUT
from patchail_jax.storage.remote import storage
from tests.launch.test_local import FAKE
from tests.storage.bucket import make_bucket


def store_config(root, run, **changes):
    """The folder of a finished run, as the program writes it, whose config differs by ``changes``."""
    config = ConfigDict(config_of(run).to_dict())
    config.update_from_flattened_dict(changes)
    folder = root / run.name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    (folder / "finished.json").write_text(json.dumps({"num_frames": config.num_frames}))


@pytest.mark.parametrize(
    ("sweep", "word", "message"),
    [
        (
            "figure8",
            "",
            r"finger/patchail/seed_0 holds a run with demos.num_demonstrations=0, not 5; give another --ro",
        ),
        ("table1", "--config.agent.actor_learning_rate=0.5", "with agent.actor_learning_rate=0.0001, not 0.5; give"),
        ("table1", "--config.cloning.std=0.2", "finger/patchail/seed_0 holds a run with cloning.std=0.1, not 0.2"),
    ],
)
def test_a_finished_run_of_another_config_is_refused_before_anything_starts(tmp_path, sweep, word, message):
    _, chosen = parse(parser(""), ["table1", "--tasks=finger", "--methods=patchail", "--seeds=0-1"])
    for run in chosen:
        store_config(tmp_path, run)
    words = ["--tasks=finger", "--methods=patchail", "--seeds=0-1", f"--root={tmp_path}", f"--python={FAKE}"]
    with pytest.raises(UserError, match=message) as caught:
        local.main([sweep, *words, *filter(None, [word])])
    assert "\n" not in str(caught.value) and not list(tmp_path.rglob("diary"))
    other_folder = [sweep, *words, f"--root={tmp_path}/new", *filter(None, [word]), "--dry_run"]
    assert local.main(other_folder) == 0
    assert local.main(["table1", *words, "--config.num_frames=1000", "--config.log.films=False"]) == 0  # may differ
    assert not list(tmp_path.rglob("diary"))


def test_what_an_older_version_did_not_have_is_no_other_run_and_no_noise(tmp_path, capsys, caplog):
    _, (run,) = parse(parser(""), ["table1", "--tasks=finger", "--methods=patchail", "--seeds=0"])
    store_config(tmp_path, run)
    path = tmp_path / run.name / "config.json"
    stored = json.loads(path.read_text())
    del stored["cloning"]["std"]
    path.write_text(json.dumps(stored))
    words = ["table1", "--tasks=finger", "--methods=patchail", "--seeds=0", f"--root={tmp_path}", "--dry_run"]
    assert local.main(words) == 0
    assert "# finished: finger/patchail/seed_0" in capsys.readouterr().out and not caplog.records


def test_a_run_that_finds_another_one_in_its_folder_is_not_counted_as_finished(tmp_path, monkeypatch):
    """Another launcher, with another config, was quicker."""
    _, (run,) = parse(parser(""), ["table1", "--tasks=finger", "--methods=patchail", "--seeds=0"])
    planned = run._replace(folder=str(tmp_path / run.name))
    store_config(tmp_path, planned, **{"cloning.std": 0.2})
    jobs = local.Jobs(
        [job := local.Job(planned)], places.make_places(1, gpus=(), cores=0, idle=False), python="no", retries=0
    )
    job.log.write_text("error: holds a run with cloning.std=0.2\n")
    jobs._end(job, BAD_INPUT)
    assert job.status == "refused" and "holds a run with" in job.words


def test_a_run_of_another_config_in_a_bucket_is_refused_too(tmp_path, monkeypatch):
    bucket = make_bucket(monkeypatch, tmp_path / "cache")
    words = ["table1", "--tasks=finger", "--methods=patchail", "--seeds=0", "--dry_run", "--root=gs://bucket/x"]
    _, (run,) = parse(parser(""), words)
    with storage(run.folder).joinpath("config.json").open("w") as stream:
        stream.write(json.dumps(config_of(run).to_dict()))
    assert local.main(words) == 0
    with pytest.raises(UserError, match=r"gs://bucket/x/finger/patchail/seed_0 holds a run with agent.discount=0.99"):
        local.main([*words, "--config.agent.discount=0.5"])
    assert sum(bucket.calls.values()) < 40


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (143, "stopped", ""),
        (-15, "stopped", ""),
        (-9, "stopped", "was killed before it had saved"),
        (2, "refused", "no space is left"),
        (1, "failed", "ended with status 1: error: no space is left"),
        (-11, "failed", "ended with SIGSEGV"),
    ],
)
def test_what_a_run_could_not_save_is_said_when_all_are_stopped(tmp_path, code, status, words):
    _, (run,) = parse(parser(""), ["table1", "--tasks=finger", "--methods=patchail", "--seeds=0"])
    job = local.Job(run._replace(folder=str(tmp_path / run.name)))
    jobs = local.Jobs([job], places.make_places(1, gpus=(), cores=0, idle=False), python="no", retries=3)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    job.log.write_text("error: no space is left where it goes: free some\n")
    jobs._stopping = True
    jobs._end(job, code)
    assert job.status == status and words in job.words and bool(words) == bool(job.words)
    assert "tried again" not in job.words


def test_a_root_in_one_s_home_is_the_folder_that_runs_work_in(tmp_path, monkeypatch):
    """A shell leaves the ~ of --root=~/x alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    words = ["table1", "--tasks=finger", "--methods=patchail", "--seeds=0"]
    _, (run,) = parse(parser(""), [*words, "--root=~/sweep"])
    assert run.folder == str(tmp_path / "sweep" / run.name)
    store_config(tmp_path / "sweep", run)
    assert standing(run) == "finished" == standing(run._replace(folder=f"~/sweep/{run.name}"))
