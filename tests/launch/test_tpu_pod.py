"""The TPU launcher against its golden output, and against a gcloud whose worker is a folder here."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from patchail_jax.errors import UserError
from patchail_jax.launch import kubernetes, standing, tpu_pod
from patchail_jax.launch.sweeps.paper import ONE_PROCESS
from patchail_jax.methods import METHODS
from tests.devices.metadata_server import metadata  # noqa: F401
from tests.launch.test_local import KEY
from tests.small import make_method

HERE = Path(__file__).parent
SLICE = ["--name=pail", "--zone=us-east5-b", "--wandb_secret=wandb key", "--root=gs://bucket/runs"]
RUNS = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0", "--config.num_frames=400"]
AWKWARD = """--config.demos.path=it's "my" $HOME/demos.npz"""


@pytest.mark.parametrize("kind", ["queued", "at_once"])
def test_a_dry_run_is_every_command(kind, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    monkeypatch.setattr(standing, "standing", lambda run: standing.TO_DO)
    words = ["--project=mine", "--at_once", "--spot", "--root=gs://bucket/a b"] if kind == "at_once" else ["--per_host"]
    assert tpu_pod.main([*RUNS, *SLICE, *words, AWKWARD, "--action=all", "--dry_run"]) == 0
    assert capsys.readouterr().out == (HERE / f"golden/tpu_pod_{kind}.txt").read_text()


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    """How the runs stand by their folders in a bucket, by names; the test's to change."""
    known = {}
    monkeypatch.setattr(standing, "standing", lambda run: known.get(run.name, standing.TO_DO))
    return known


PROGRAM = """#!/usr/bin/env python3
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(os.environ["FAKE_HOME"]) / sys.argv[-1].split("://", 1)[1]
folder.mkdir(parents=True, exist_ok=True)
names = ("WANDB_API_KEY", "JAX_PLATFORMS", "TPU_PROCESS_BOUNDS", "TPU_VISIBLE_DEVICES")
with (folder / "heard").open("a") as stream:
    stream.write(json.dumps([*sys.argv[1:], {name: os.environ.get(name) for name in names}]) + "\\n")
print("training", flush=True)
def save(*_):
    (folder / "saved").write_text("")
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
sys.exit(int(os.environ.get("FAKE_STATUS", "1")) if "single" in str(folder) else 0)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A worker's home with a program that writes down what it was told, and gcloud on the path."""
    home, programs = tmp_path / "home of a worker", tmp_path / "bin"
    python = home / "patchail_jax/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PROGRAM)
    python.chmod(0o755)
    programs.mkdir()
    shutil.copy(HERE / "fake_gcloud.py", programs / "gcloud")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_HOME", str(home))
    monkeypatch.setenv("FAKE_STATES", "WAITING_FOR_RESOURCES,PROVISIONING,ACTIVE")
    monkeypatch.setattr(tpu_pod, "WAIT_SECONDS", 0)
    monkeypatch.setattr(tpu_pod, "FOLLOW_SECONDS", 0.2)
    monkeypatch.setattr(tpu_pod, "setup", lambda *_, **options: [])  # installs packages on the machine it runs on
    monkeypatch.setattr(tpu_pod, "collect", lambda root: [])
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    here = tmp_path / "here"
    here.mkdir()
    (here / "launch").symlink_to(Path("launch").resolve())
    monkeypatch.chdir(here)
    return home


def heard(home):
    """What each run was told, by its label, a line a start."""
    found = {path.parts[-3]: path.read_text().splitlines() for path in (home / "bucket").rglob("heard")}
    return {label: [json.loads(line) for line in lines] for label, lines in found.items()}


def gcloud(home):
    return (home / "gcloud.log").read_text().splitlines()


def test_a_sweep_goes_through_and_the_slice_is_given_back(home, bucket, capfd):
    status = tpu_pod.main([*RUNS, *SLICE, AWKWARD, "--action=all"])
    said = capfd.readouterr().out
    assert status == 1  # one of the two runs failed, and still they were collected and the slice given back
    assert "waiting: WAITING_FOR_RESOURCES\nwaiting: PROVISIONING\n" in said and "training\n" in said
    assert gcloud(home)[0] == "queued-resources create" and gcloud(home)[-1] == "queued-resources delete"

    told = heard(home)
    assert {label: len(lines) for label, lines in told.items()} == {"pair": 1, "single": 2}  # the failed one twice
    *flags, variables = told["pair"][0]
    assert variables["WANDB_API_KEY"] == "the key's value" and variables["JAX_PLATFORMS"] == "tpu,cpu"
    assert variables["TPU_PROCESS_BOUNDS"] is None and "--config.platform=tpu" in flags
    assert AWKWARD in flags and flags[:2] == ["-m", "patchail_jax.main"]
    assert variables["WANDB_API_KEY"] not in said


def test_what_was_refused_is_not_tried_again(home, bucket, monkeypatch):
    monkeypatch.setenv("FAKE_STATUS", "2")
    assert tpu_pod.main([*RUNS, *SLICE]) == 1
    assert len(heard(home)["single"]) == 1


def test_started_again_only_what_has_not_finished_runs_and_a_slice_that_is_there_is_not_asked_for(home, bucket, capfd):
    tpu_pod.main([*RUNS, *SLICE])
    bucket["finger/patchail/pair/seed_0"] = standing.FINISHED
    bucket["finger/patchail/single/seed_0"] = standing.GOING_ON  # elsewhere, or it was killed a minute ago
    tpu_pod.main([*RUNS, *SLICE])
    assert {label: len(lines) for label, lines in heard(home).items()} == {"pair": 1, "single": 4}
    assert gcloud(home).count("queued-resources create") == 1
    bucket["finger/patchail/single/seed_0"] = standing.FINISHED
    before = gcloud(home)
    capfd.readouterr()
    assert tpu_pod.main([*RUNS, *SLICE]) == 0
    said = capfd.readouterr()
    assert (said.out, said.err) == ("nothing is left to do\n", "2 finished\n") and gcloud(home) == before


def finish(bucket):
    for label in ("pair", "single"):
        bucket[f"finger/patchail/{label}/seed_0"] = standing.FINISHED


@pytest.mark.parametrize("kind", [[], ["--at_once"]])
def test_a_sweep_with_nothing_left_to_do_asks_for_no_slice(home, bucket, capfd, kind):
    finish(bucket)
    assert tpu_pod.main([*RUNS, *SLICE, *kind, "--action=all"]) == 0
    said = capfd.readouterr().out
    assert said.startswith("nothing is left to do\n")
    assert said.endswith("there is no slice pail in us-east5-b to give back\n")
    assert not (home / "gcloud.log").exists() and not (home / "sweep.sh").exists()
    for action in ("", "run"):
        assert tpu_pod.main([*RUNS, *SLICE, *kind, f"--action={action}"]) == 0
        assert capfd.readouterr().out == "nothing is left to do\n"


def test_a_sweep_with_nothing_left_to_do_gives_its_slice_back(home, bucket, monkeypatch):
    collected = []
    monkeypatch.setattr(tpu_pod, "collect", lambda root: collected.append(root) or [("true",)])
    tpu_pod.main([*RUNS, *SLICE])
    finish(bucket)
    before = len(gcloud(home))
    assert tpu_pod.main([*RUNS, *SLICE, "--action=all"]) == 0 and collected[-1] == "gs://bucket/runs"
    assert gcloud(home)[before:] == ["queued-resources describe", "tpu-vm ssh", "queued-resources delete"]
    monkeypatch.setenv("FAKE_STATES", "SUSPENDED")  # its chips were taken back: no worker answers
    tpu_pod.main([*RUNS, *SLICE, "--action=create"])
    before = len(gcloud(home))
    assert tpu_pod.main([*RUNS, *SLICE, "--action=all"]) == 0
    assert gcloud(home)[before:] == ["queued-resources describe", "queued-resources delete"]


def test_a_slice_with_another_sweep_at_work_or_of_which_nothing_is_known_is_kept(home, bucket, capfd, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "60")
    monkeypatch.setenv("FAKE_STATES", "ACTIVE")
    assert tpu_pod.main([*RUNS, *SLICE, "--action=create"]) == tpu_pod.main([*RUNS, *SLICE, "--action=run"]) == 0
    finish(bucket)
    assert tpu_pod.main([*RUNS, *SLICE, "--action=all"]) == 1
    said = capfd.readouterr().err
    assert "a sweep is at work on this slice" in said and said.endswith("delete ended with status 1\n")
    assert tpu_pod.main([*RUNS, *SLICE, "--action=stop"]) == 0
    monkeypatch.setenv("FAKE_SILENCE", "PERMISSION_DENIED: log in")
    assert tpu_pod.main([*RUNS, *SLICE, "--action=all"]) == 1 and "PERMISSION_DENIED: log in" in capfd.readouterr().err
    assert "queued-resources delete" not in gcloud(home)


def wait_for_a_run(home):
    until = time.monotonic() + 30
    while "pair" not in heard(home):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_slice_is_kept_where_the_connection_is_lost_and_its_sweep_goes_on(home, bucket, capfd, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "60")
    monkeypatch.setenv("FAKE_DROP", "")
    assert tpu_pod.main([*RUNS, *SLICE, "--action=all"]) == 1
    said = capfd.readouterr().err
    assert "follow ended with status 255: the connection is gone; --action=follow goes on with it\n" in said
    assert "a sweep is at work on this slice" in said and "queued-resources delete" not in gcloud(home)
    monkeypatch.delenv("FAKE_DROP")
    assert tpu_pod.main([*RUNS, *SLICE, "--action=stop"]) == 0
    assert tpu_pod.main([*RUNS, *SLICE, "--action=follow"]) == 143


@pytest.mark.timeout(60)
def test_a_sweep_that_was_killed_is_not_followed_for_ever(home, bucket, capfd, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "60")
    assert tpu_pod.main([*RUNS, *SLICE, "--action=run"]) == 0
    assert subprocess.run(["flock", "-n", home / tpu_pod.LOCK, "true"]).returncode == 1  # at once
    wait_for_a_run(home)
    os.killpg(int((home / tpu_pod.PID).read_text()), signal.SIGKILL)
    assert tpu_pod.main([*RUNS, *SLICE, "--action=follow"]) == 1
    assert f"{tpu_pod.KILLED}\n" in capfd.readouterr().err
    assert tpu_pod.main([*RUNS, *SLICE, "--action=delete"]) == 0


@pytest.mark.parametrize("state", ["PREEMPTED", "TERMINATED"])
def test_a_machine_that_was_taken_away_is_not_set_up(home, bucket, capfd, monkeypatch, state):
    words = [*RUNS, *SLICE, "--at_once", "--spot"]
    monkeypatch.setenv("FAKE_STATES", "CREATING,READY")
    assert tpu_pod.main([*words, "--action=create"]) == 0
    monkeypatch.setenv("FAKE_STATES", state)
    before = len(gcloud(home))
    assert tpu_pod.main(words) == 1
    assert f"the slice is {state}: --action=delete, and then the same command again" in capfd.readouterr().err
    assert {*gcloud(home)[before:]} == {"tpu-vm describe"}
    assert tpu_pod.main([*words, "--action=delete"]) == 0


def test_two_sweeps_on_one_slice_are_refused_and_a_stop_saves(home, bucket, capfd, monkeypatch):
    monkeypatch.setenv("FAKE_SECONDS", "60")
    assert tpu_pod.main([*RUNS, *SLICE, "--action=run"]) == 0
    wait_for_a_run(home)
    assert tpu_pod.main([*RUNS, *SLICE, "--action=run"]) == 1
    assert "a sweep is at work on this slice" in capfd.readouterr().err
    assert tpu_pod.main([*RUNS, *SLICE, "--action=stop"]) == 0
    assert list((home / "bucket").rglob("saved")) and {"pair"} == heard(home).keys()  # and the next did not begin
    assert (home / "patchail_jax/sweep.status").read_text() == "143\n"
    monkeypatch.setenv("FAKE_SECONDS", "0")
    assert tpu_pod.main([*RUNS, *SLICE, "--action=run"]) == 0  # the slice is free again
    assert tpu_pod.main([*RUNS, *SLICE, "--action=follow"]) == 1


@pytest.mark.parametrize("worker", [0, 2])
def test_each_host_has_runs_of_its_own(home, bucket, metadata, monkeypatch, worker):  # noqa: F811
    metadata["agent-worker-number"] = str(worker)
    runs = ["figure6b", "--tasks=finger,cheetah", "--seeds=0", "--config.num_frames=400", "--methods=patchail"]
    assert tpu_pod.main([*runs, *SLICE, "--per_host"]) == 0
    told = [line for lines in heard(home).values() for line in lines]
    assert len(told) == 3  # of twelve, on four hosts
    for *flags, variables in told:
        assert (variables["TPU_PROCESS_BOUNDS"], variables["TPU_VISIBLE_DEVICES"]) == ("1,1,1", "0,1,2,3")
        assert "--config.hosts.coordinator=alone" in flags and "--config.platform=tpu" in flags


def test_a_worker_that_does_not_know_its_number_does_not_run_all(home, bucket, metadata, capfd):  # noqa: F811
    metadata.clear()
    assert tpu_pod.main([*RUNS, *SLICE, "--per_host"]) == 1
    assert "does not say which worker this is" in capfd.readouterr().out and not heard(home)


def test_a_request_that_fails_ends_the_launch(home, bucket, capfd, monkeypatch):
    monkeypatch.setenv("FAKE_STATES", "PROVISIONING,FAILED")
    assert tpu_pod.main([*RUNS, *SLICE]) == 1
    said = capfd.readouterr().err
    assert "the slice is FAILED: --action=delete, and then" in said
    assert (
        "create ended with status 1: the slice, if there is one, stays and has to be paid for; --action=delete" in said
    )
    assert gcloud(home)[-1] == "queued-resources describe"


def test_a_root_that_would_go_with_the_slice_is_refused():
    with pytest.raises(UserError, match=r"lost with its machine; give a --root such as gs://mine/runs"):
        tpu_pod.main([*RUNS, *SLICE[:-1]])


@pytest.mark.parametrize("root", ["s3://bucket/runs", "az://bucket/runs"])
def test_a_bucket_that_gcloud_does_not_read_is_refused(bucket, root):
    with pytest.raises(UserError, match=f"--root is {root}; this launcher takes gs:// alone"):
        tpu_pod.main([*RUNS, *SLICE, f"--root={root}", "--dry_run"])


def test_a_method_that_needs_one_process_runs_on_hosts_of_its_own(bucket, capsys):
    assert {*ONE_PROCESS} == {name for name in METHODS if make_method(name).needs.whole_episodes}
    rot = ["figure9", "--tasks=finger", "--methods=rot,patchail", "--seeds=0", *SLICE, "--dry_run"]
    assert tpu_pod.main([*rot, "--per_host"]) == 0 and "--config=finger:rot" in capsys.readouterr().out
    with pytest.raises(UserError, match="rot cannot train across several hosts: use --per_host"):
        tpu_pod.main(rot)
    for action in ("setup", "follow", "stop", "collect", "delete"):
        assert tpu_pod.main([*rot, f"--action={action}"]) == 0
    with pytest.raises(UserError, match="rot cannot train across several hosts: use a slice of one host"):
        kubernetes.main([*rot[:4], "--image=i", SLICE[-1], "--tpu=tpu-v5-lite-podslice", "--dry_run"])


def test_an_action_that_does_not_exist_is_named():
    with pytest.raises(UserError, match="use one of create, setup, run, follow, stop, collect, delete, all"):
        tpu_pod.main([*RUNS, *SLICE, "--action=destroy"])
