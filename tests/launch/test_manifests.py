"""Kubernetes and SkyPilot: golden manifests, legal names, and no key anywhere."""

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from patchail_jax.errors import UserError
from patchail_jax.launch import jobsets, kubernetes, skypilot, standing, tpu_pod
from patchail_jax.launch.kubernetes import job_set
from patchail_jax.launch.options import parse, parser
from patchail_jax.launch.sweeps.paper import SWEEPS
from tests.launch.stand_ins import install
from tests.launch.test_local import KEY
from tests.launch.test_tpu_pod import AWKWARD

GOLDEN = Path(__file__).parent / "golden"
RUNS = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0", "--dry_run"]
CLUSTER = ["--image=europe-docker.pkg.dev/mine/patchail:1", "--volume=runs", "--wandb_secret=wandb"]
GPU = ["--gpu_type=nvidia-l4", "--spot", "--queue=team", "--service_account=writer", "--namespace=research"]
BUCKET = "--root=gs://mine/x"
TPU = ["--tpu=tpu-v5-lite-podslice", "--topology=4x4", "--hosts=4", "--chips=4"]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")


@pytest.fixture(autouse=True)
def bucket(monkeypatch):
    """How the runs stand by their folders in a bucket, by names; the test's to change."""
    known, ask = {}, standing.standing
    monkeypatch.setattr(
        standing, "standing", lambda run: known.get(run.name, standing.TO_DO) if "://" in run.folder else ask(run)
    )
    return known


@pytest.mark.parametrize(
    ("main", "words", "golden"),
    [
        (kubernetes.main, [*RUNS, *CLUSTER, *TPU, AWKWARD], "kubernetes_tpu.txt"),
        (kubernetes.main, [*RUNS, *CLUSTER[:2], *GPU], "kubernetes_gpu.txt"),
        (skypilot.main, [*RUNS, BUCKET, "--spot", AWKWARD], "skypilot.txt"),
        (skypilot.main, [*RUNS, BUCKET, "--accelerators=tpu-v6e-8", "--extras=tpu"], "skypilot_tpu.txt"),
    ],
)
def test_a_dry_run_is_every_manifest_and_command(main, words, golden, capsys):
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said == (GOLDEN / golden).read_text()
    assert KEY not in said


def test_kubernetes_hands_over_every_word_as_it_was():
    _, (run, *_) = parse(parser(""), [*RUNS, AWKWARD.replace("$HOME", "$(HOME)")])
    place = kubernetes.PodPlace("image", "runs", "", "", "", False, "", "", 1, 0, 0, "", 8, 64, 10)
    pod = job_set(run, "s", place)["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    words = pod["containers"][0]["command"]
    assert tuple(word.replace("$$(", "$(") for word in words[3:]) == run.flags
    assert not any("$(" in word.replace("$$(", "") for word in words)  # what Kubernetes would fill in itself
    assert pod["containers"][0]["env"] == []


def test_skypilot_s_line_is_the_run_s_words(capsys):
    _, (run, *_) = parse(parser(""), [*RUNS, AWKWARD])
    text = yaml.safe_dump(skypilot.task(run, "s", skypilot.TaskPlace("", 8, 64, False, "cuda12", False)))
    assert tuple(shlex.split(yaml.safe_load(text)["run"])[3:]) == run.flags


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    """Stand-ins for kubectl and sky, and where they keep what they were given."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return install("clouds", tmp_path, monkeypatch, behind="/usr/bin:/bin")


def diary(cloud):
    """What kubectl and sky were told since the last question."""
    path = cloud / "diary"
    said = path.read_text().splitlines() if path.exists() else []
    path.write_text("")
    return said


def ended(cloud, label, how):
    fake_clouds = importlib.import_module("tests.launch.fake_clouds")
    fake_clouds.end(cloud / f"figure7-finger-patchail-{label}-seed-0.jobset", how)


NAMES = ["figure7-finger-patchail-pair-seed-0", "figure7-finger-patchail-single-seed-0"]


def test_kubernetes_started_again_starts_what_failed_and_nothing_twice(cloud, capsys):
    words = [*RUNS[:-1], *CLUSTER]
    assert kubernetes.main(words) == 0 and diary(cloud) == [f"apply {name}" for name in NAMES]
    capsys.readouterr()
    assert kubernetes.main(words) == 0 and diary(cloud) == []
    said = capsys.readouterr()
    assert (said.out, said.err) == ("nothing is left to do\n", "2 going on\n")
    ended(cloud, "pair", "Failed")
    ended(cloud, "single", "Completed")
    assert kubernetes.main(words) == 0 and diary(cloud) == [f"delete {NAMES[0]}", f"apply {NAMES[0]}"]
    assert capsys.readouterr().err == "1 to do, 1 finished\n"


def test_kubernetes_makes_a_finished_run_anew_for_other_flags_and_refuses_them_for_one_at_work(cloud):
    words = [*RUNS[:-1], *CLUSTER]
    kubernetes.main(words)
    more = [*words, "--config.num_frames=2_000_000"]
    with pytest.raises(UserError, match=f"{NAMES[0]} is running with other flags: give the same, or delete it"):
        kubernetes.main(more)
    for label in ("pair", "single"):
        ended(cloud, label, "Completed")
    diary(cloud)
    assert kubernetes.main(more) == 0
    assert diary(cloud) == [f"{verb} {name}" for verb in ("delete", "apply") for name in NAMES]


def test_kubernetes_asks_the_folders_in_a_bucket_first(cloud, bucket):
    bucket["finger/patchail/pair/seed_0"] = standing.FINISHED
    assert kubernetes.main([*RUNS[:-1], "--image=i", BUCKET]) == 0 and diary(cloud) == [f"apply {NAMES[1]}"]


def test_kubernetes_starts_so_many_at_a_time(cloud, monkeypatch, capsys):
    monkeypatch.setattr(kubernetes, "LOOK_SECONDS", 0)
    (cloud / "quick").touch()
    asked = []
    ask = jobsets.ask
    monkeypatch.setattr(jobsets, "ask", lambda *words: asked.append(ask(*words)) or asked[-1])
    words = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0-2", *CLUSTER, "--jobs=2"]
    assert kubernetes.main(words) == 0
    assert len(diary(cloud)) == 6 and max(map(jobsets.count_active, asked)) == 2
    assert "4 wait" in capsys.readouterr().out


@pytest.mark.parametrize("sweep", ["my-own", "my own", "Mine.", "m" * 70])
def test_a_sweep_of_any_name_is_found_again(cloud, monkeypatch, sweep):
    monkeypatch.setitem(SWEEPS, sweep, SWEEPS["figure7"])
    words = [sweep, *RUNS[1:-1], *CLUSTER]
    assert kubernetes.main(words) == 0 and len(diary(cloud)) == 2
    assert kubernetes.main(words) == 0 and diary(cloud) == []


def test_labels_are_legal_and_stay_apart():
    values = ["a-b", "a_b", "a b", "a/b", "-a", "a-", "x" * 63, "x" * 64, "x" * 65, "+", ""]
    labels = [jobsets.label(value) for value in values]
    assert len(set(labels)) == len(values) and labels[:2] == values[:2]
    assert all(re.fullmatch(r"[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?", found) for found in labels)


@pytest.mark.parametrize(
    "said", ["", "not JSON", "{}", "[]", "null", '{"items": [{}]}', '{"items": 3}', '{"items": ["a"]}']
)
def test_a_cluster_that_answers_something_else_is_one_line(cloud, said):
    (cloud.parent / "bin/kubectl").write_text(f"#!/bin/sh\necho '{said}'\n")
    with pytest.raises(UserError, match="kubectl does not say which JobSets there are: see kubectl get jobsets"):
        kubernetes.main([*RUNS[:-1], *CLUSTER])


@pytest.mark.parametrize("spec", [{}, {"replicatedJobs": []}, {"replicatedJobs": [{"template": {}}]}, None])
def test_a_jobset_of_another_form_is_no_run_of_ours(cloud, spec):
    words = [*RUNS[:-1], *CLUSTER]
    kubernetes.main(words)
    path = cloud / f"{NAMES[0]}.jobset"
    path.write_text(json.dumps({**json.loads(path.read_text()), "spec": spec}))
    with pytest.raises(UserError, match=f"{NAMES[0]} is running with other flags"):
        kubernetes.main(words)
    ended(cloud, "pair", "Completed")
    diary(cloud)
    assert kubernetes.main(words) == 0 and diary(cloud) == [f"delete {NAMES[0]}", f"apply {NAMES[0]}"]


def test_a_cluster_without_jobsets_is_one_line(cloud):
    (cloud.parent / "bin/kubectl").write_text("#!/bin/sh\necho 'error: no resource type \"jobsets\"' >&2; exit 1\n")
    with pytest.raises(UserError, match='cannot list JobSets .error: no resource type "jobsets".: is JobSet installed'):
        kubernetes.main([*RUNS[:-1], *CLUSTER])


def test_skypilot_started_again_launches_what_is_left(cloud, bucket, capfd):
    words = [*RUNS[:-1], BUCKET]
    assert skypilot.main(words) == 0
    assert diary(cloud) == [f"launch {name} --yes --async --secret WANDB_API_KEY" for name in NAMES]
    assert yaml.safe_load((cloud.parent / f"{NAMES[1]}.yaml").read_text())["name"] == NAMES[1]
    assert skypilot.main(words) == 0 and diary(cloud) == [] and capfd.readouterr().err == "2 queued\n"
    for path in cloud.glob("*.job"):  # both are over
        path.unlink()
    bucket["finger/patchail/pair/seed_0"] = standing.FINISHED
    assert skypilot.main(words) == 0 and [line.split()[1] for line in diary(cloud)] == NAMES[1:]
    for path in [*cloud.iterdir(), *cloud.parent.glob("*.yaml")]:
        assert KEY not in path.read_text()


def test_a_queue_that_does_not_answer_is_no_empty_queue(cloud):
    (cloud.parent / "bin/sky").write_text("#!/bin/sh\necho 'no API server' >&2; exit 1\n")
    with pytest.raises(UserError, match="does not say which runs are queued already: see sky jobs queue"):
        skypilot.main([*RUNS[:-1], BUCKET])


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (kubernetes.main, [*CLUSTER, "--root=runs/x"], "it must lie under /runs"),
        (kubernetes.main, CLUSTER[:1], "give --volume"),
        (skypilot.main, [], "give a --root such as gs:"),
    ],
)
def test_a_root_that_would_be_lost_is_refused(main, words, message):
    with pytest.raises(UserError, match=message):
        main([*RUNS, *words])


@pytest.mark.parametrize(
    ("main", "words"), [(skypilot.main, [BUCKET]), (tpu_pod.main, ["--name=pail", "--zone=us-east5-b", BUCKET])]
)
def test_who_sends_the_source_starts_where_it_is(main, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no launch/setup.sh here"):
        main([*RUNS[:-1], *words])
    assert main([*RUNS, *words]) == 0 and capsys.readouterr().out  # only to say so works anywhere


NO_NUMBERS = ("--gpus=-1", "--memory_gb=-3", "--memory_gb=1.5", "--cpus=0", "--hosts=0", "--chips=0", "--restarts=-1")
POD = ("--name=", "--name=a b", "--zone=", "--accelerator_type=", "--runtime_version=")


@pytest.mark.parametrize(
    ("main", "word"),
    [
        *((kubernetes.main, word) for word in (*NO_NUMBERS, "--jobs=-1", "--image=", "--image=a b")),
        *((skypilot.main, word) for word in ("--cpus=0", "--memory_gb=-1")),
        *((tpu_pod.main, word) for word in POD),
    ],
)
def test_flags_that_make_no_run_are_refused(main, word):
    flag, text = word.split("=")
    with pytest.raises(UserError, match=f"argument {flag}: '{text}' is no .*--help lists the flags"):
        main([*RUNS, BUCKET, *({kubernetes.main: CLUSTER, tpu_pod.main: ["--name=p", "--zone=z"]}.get(main, [])), word])


def test_a_missing_program_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="kubectl is not installed"):
        kubernetes.main([*RUNS[:-1], *CLUSTER])
    with pytest.raises(UserError, match="sky is not installed: pip install skypilot"):
        skypilot.main([*RUNS[:-1], BUCKET])
    for action in ("", "delete", "collect"):
        with pytest.raises(UserError, match="gcloud is not installed"):
            tpu_pod.main([*RUNS[:-1], "--name=pail", "--zone=us-east5-b", "--per_host", BUCKET, f"--action={action}"])


def test_a_program_that_goes_away_in_between_is_one_line(cloud, monkeypatch):
    monkeypatch.setattr(jobsets, "ask", lambda *words: {})
    monkeypatch.setenv("PATH", str(cloud))
    with pytest.raises(UserError, match="kubectl is not installed"):
        kubernetes.main([*RUNS[:-1], *CLUSTER])
