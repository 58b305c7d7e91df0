"""The TPU launcher against its golden output, and against a gcloud whose workers are folders here."""

import json
import os
import shutil
from pathlib import Path

import pytest

from patchail_jax.errors import UserError
from patchail_jax.launch import tpu_pod
from tests.launch.test_local import KEY

HERE = Path(__file__).parent
SLICE = ["--name=pail", "--zone=us-east5-b", "--wandb_secret=wandb key"]
RUNS = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0", "--config.num_frames=400"]
AWKWARD = """--config.demos.path=it's "my" $HOME/demos.npz"""


@pytest.mark.parametrize("kind", ["queued", "at_once"])
def test_a_dry_run_is_every_command(kind, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    words = ["--project=mine", "--at_once", "--spot", "--root=gs://bucket/a b"] if kind == "at_once" else []
    assert tpu_pod.main([*RUNS, *SLICE, *words, AWKWARD, "--action=all", "--dry_run"]) == 0
    assert capsys.readouterr().out == (HERE / f"golden/tpu_pod_{kind}.txt").read_text()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A worker's home with a program that writes down what it was told, and gcloud on the path."""
    home, programs = tmp_path / "home of a worker", tmp_path / "bin"
    python = home / "patchail_jax/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        "#!/usr/bin/env python3\n"
        "import json, os, pathlib, sys\n"
        "folder = pathlib.Path(sys.argv[-1].split('=', 1)[1])\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        "with (folder / 'heard').open('a') as stream:\n"
        "    stream.write(json.dumps([*sys.argv[1:], os.environ['WANDB_API_KEY']]) + '\\n')\n"
        "print('training', flush=True)\n"
        "sys.exit('single' in str(folder))\n"
    )
    python.chmod(0o755)
    programs.mkdir()
    shutil.copy(HERE / "fake_gcloud.py", programs / "gcloud")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_HOME", str(home))
    monkeypatch.setenv("FAKE_STATES", "WAITING_FOR_RESOURCES,PROVISIONING,ACTIVE")
    monkeypatch.setattr(tpu_pod, "WAIT_SECONDS", 0)
    monkeypatch.setattr(tpu_pod, "FOLLOW_SECONDS", 0.2)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    here = tmp_path / "here"
    here.mkdir()
    (here / "launch").symlink_to(Path("launch").resolve())
    monkeypatch.chdir(here)
    return home


def test_a_sweep_goes_through_all_workers_and_comes_back(home, capfd, monkeypatch):
    monkeypatch.setattr(tpu_pod, "setup", lambda *_, **options: [])  # installs packages on the machine it runs on
    status = tpu_pod.main([*RUNS, *SLICE, AWKWARD, "--action=all"])
    said = capfd.readouterr().out
    assert status == 1  # one of the two runs failed, and still they were collected and the slice given back
    assert "waiting: WAITING_FOR_RESOURCES\nwaiting: PROVISIONING\n" in said and "training\n" in said
    log = (home / "gcloud.log").read_text().splitlines()
    assert log[0] == "queued-resources create" and log[-1] == "queued-resources delete"

    heard = {path.parts[-3]: path.read_text().splitlines() for path in Path("runs/figure7").rglob("heard")}
    assert {label: len(lines) for label, lines in heard.items()} == {"pair": 1, "single": 2}  # the failed one twice
    *flags, key = json.loads(heard["pair"][0])
    assert key == "the key's value" and AWKWARD in flags and flags[:2] == ["-m", "patchail_jax.main"]
    assert key not in said


def test_a_request_that_fails_ends_the_launch(home, capfd, monkeypatch):
    monkeypatch.setenv("FAKE_STATES", "PROVISIONING,FAILED")
    assert tpu_pod.main([*RUNS, *SLICE]) == 1
    assert "the request is FAILED" in capfd.readouterr().err
    assert (home / "gcloud.log").read_text().splitlines()[-1] == "queued-resources describe"


def test_an_action_that_does_not_exist_is_named():
    with pytest.raises(UserError, match="use one of create, setup, run, follow, collect, delete, all"):
        tpu_pod.main([*RUNS, *SLICE, "--action=destroy"])
