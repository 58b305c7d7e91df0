"""Kubernetes and SkyPilot: golden manifests, legal names, and no key anywhere."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from patchail_jax.errors import UserError
from patchail_jax.launch import kubernetes, skypilot, tpu_pod
from patchail_jax.launch.kubernetes import job_set
from patchail_jax.launch.options import parse, parser
from tests.launch.test_local import KEY
from tests.launch.test_tpu_pod import AWKWARD

GOLDEN = Path(__file__).parent / "golden"
RUNS = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0", "--dry_run"]
CLUSTER = ["--image=europe-docker.pkg.dev/mine/patchail:1", "--volume=runs", "--wandb_secret=wandb"]
TPU = ["--tpu=tpu-v5-lite-podslice", "--topology=4x4", "--hosts=4", "--chips=4"]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")


@pytest.mark.parametrize(
    ("main", "words", "golden"),
    [
        (kubernetes.main, [*RUNS, *CLUSTER, *TPU, AWKWARD], "kubernetes_tpu.txt"),
        (kubernetes.main, [*RUNS, *CLUSTER[:2]], "kubernetes_gpu.txt"),
        (skypilot.main, [*RUNS, "--bucket=gs://mine", "--spot", AWKWARD], "skypilot.txt"),
        (skypilot.main, [*RUNS, "--root=gs://mine/x", "--accelerators=tpu-v6e-8", "--extras=tpu"], "skypilot_tpu.txt"),
    ],
)
def test_a_dry_run_is_every_manifest_and_command(main, words, golden, capsys):
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said == (GOLDEN / golden).read_text()
    assert KEY not in said


def test_kubernetes_hands_over_every_word_as_it_was():
    _, (run, *_) = parse(parser(""), [*RUNS, AWKWARD.replace("$HOME", "$(HOME)")])
    place = kubernetes.Place("image", "runs", "", "", "", 1, 0, 1, 8, 64, 10)
    pod = job_set(run, "s", place)["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    words = pod["containers"][0]["command"]
    assert tuple(word.replace("$$(", "$(") for word in words[3:]) == run.flags
    assert not any("$(" in word.replace("$$(", "") for word in words)  # what Kubernetes would fill in itself
    assert pod["containers"][0]["env"] == []


def test_skypilot_s_line_is_the_run_s_words(capsys):
    _, (run, *_) = parse(parser(""), [*RUNS, AWKWARD])
    text = yaml.safe_dump(skypilot.task(run, "s", skypilot.Place("gs://b", "L4:1", 8, 64, False, "cuda12", False)))
    assert tuple(shlex.split(yaml.safe_load(text)["run"])[3:]) == run.flags


def test_manifests_reach_the_program_that_takes_them(tmp_path, monkeypatch):
    for name in ("kubectl", "sky"):
        program = tmp_path / name
        program.write_text(
            f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {tmp_path}/{name}.words\ncat > {tmp_path}/{name}.stdin\n"
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(subprocess, "run", _without_stdin(subprocess.run))
    words = [word for word in RUNS if word != "--dry_run"]
    assert kubernetes.main([*words, *CLUSTER]) == 0
    documents = list(yaml.safe_load_all((tmp_path / "kubectl.stdin").read_text()))
    assert [document["metadata"]["name"] for document in documents] == [
        "figure7-finger-patchail-pair-seed-0",
        "figure7-finger-patchail-single-seed-0",
    ]
    assert skypilot.main([*words, "--bucket=gs://mine"]) == 0
    last = (tmp_path / "sky.words").read_text().split("\n")
    assert last[:6] == ["jobs", "launch", "--yes", "--async", "--secret", "WANDB_API_KEY"]
    assert yaml.safe_load(Path(last[6]).read_text())["name"] == "figure7-finger-patchail-single-seed-0"
    for path in tmp_path.iterdir():
        assert KEY not in path.read_text()


def _without_stdin(run):
    """subprocess.run, for programs that would wait for a terminal."""
    return lambda words, **kwargs: run(words, **({} if "input" in kwargs else {"stdin": subprocess.DEVNULL}), **kwargs)


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (kubernetes.main, [*CLUSTER, "--root=runs/x"], "it must lie under /runs"),
        (kubernetes.main, CLUSTER[:1], "give --volume"),
        (skypilot.main, [], "give --bucket, or a --root such as gs:"),
    ],
)
def test_a_root_that_would_be_lost_is_refused(main, words, message):
    with pytest.raises(UserError, match=message):
        main([*RUNS, *words])


@pytest.mark.parametrize(
    ("main", "words"), [(skypilot.main, ["--bucket=gs://mine"]), (tpu_pod.main, ["--name=pail", "--zone=us-east5-b"])]
)
def test_who_sends_the_source_starts_where_it_is(main, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="launch/setup.sh is not here"):
        main([*RUNS[:-1], *words])
    assert main([*RUNS, *words]) == 0 and capsys.readouterr().out  # only to say so works anywhere


def test_a_missing_program_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="kubectl is not installed"):
        kubernetes.main([*RUNS[:-1], *CLUSTER])
