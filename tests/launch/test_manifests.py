"""Kubernetes and SkyPilot: golden manifests, legal names, and no key anywhere."""

import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from patchail_jax.errors import UserError
from patchail_jax.launch import jobsets, kubernetes, options, skypilot, standing, tpu_pod
from patchail_jax.launch.kubernetes import job_set
from patchail_jax.launch.options import parse, parser
from patchail_jax.launch.sweeps.paper import SWEEPS
from patchail_jax.storage import remote
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
        (skypilot.main, [*RUNS, BUCKET, "--accelerators=tpu-v6e-8"], "skypilot_tpu.txt"),
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


def test_skypilot_tries_a_run_again_that_ends_with_an_error():
    _, (run, *_) = parse(parser(""), RUNS)
    made = skypilot.task(run, "s", skypilot.TaskPlace("", 8, 64, False, "cuda12", False))
    assert made["resources"]["job_recovery"] == {"max_restarts_on_errors": 3}


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


def ended(cloud, label, how, seed=0):
    fake_clouds = importlib.import_module("tests.launch.fake_clouds")
    fake_clouds.end(cloud / f"figure7-finger-patchail-{label}-seed-{seed}.jobset", how)


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
    delete = f"kubectl --namespace=research delete jobset {NAMES[0]}"
    with pytest.raises(UserError, match=f"or delete it .{delete}.$"):
        kubernetes.main([*more, "--namespace=research"])
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
    monkeypatch.setattr(jobsets, "ask", lambda *words, **more: asked.append(ask(*words, **more)) or asked[-1])
    words = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0-2", *CLUSTER, "--jobs=2"]
    assert kubernetes.main(words) == 0
    assert len(diary(cloud)) == 6 and max(map(jobsets.count_active, asked)) == 2
    assert "4 wait" in capsys.readouterr().out


@pytest.fixture
def meanwhile(monkeypatch):
    """What happens in the cluster between the launcher's looks, in turn; the test's to fill."""
    events = []
    monkeypatch.setattr(kubernetes.time, "sleep", lambda seconds: events.pop(0)())
    return events


TWO_SEEDS = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0,1", *CLUSTER]


def test_kubernetes_waits_for_a_cluster_that_does_not_answer_for_a_while(cloud, meanwhile, capsys):
    def seed_0_ends():
        for label in ("pair", "single"):
            ended(cloud, label, "Completed")
        (cloud / "hiccup").touch()

    meanwhile += [seed_0_ends, lambda: None]
    assert kubernetes.main([*TWO_SEEDS, "--jobs=2"]) == 0 and not meanwhile
    assert len(diary(cloud)) == 4
    said = "Unable to connect to the server: net/http: TLS handshake timeout"
    assert f"kubectl cannot list JobSets ({said}): it is asked again in 30 s\n" in capsys.readouterr().err
    (cloud / "hiccup").touch()
    with pytest.raises(UserError, match="TLS handshake timeout.: is JobSet installed"):
        kubernetes.main(TWO_SEEDS)


def test_kubernetes_leaves_alone_what_another_launcher_started_while_it_waited(cloud, meanwhile, capsys):
    def another():
        for label in ("pair", "single"):
            ended(cloud, label, "Completed")
        diary(cloud)
        assert kubernetes.main(TWO_SEEDS) == 0
        assert diary(cloud) == [f"apply figure7-finger-patchail-{label}-seed-1" for label in ("pair", "single")]
        ended(cloud, "single", "Completed", seed=1)  # there is room for one more
        capsys.readouterr()

    meanwhile.append(another)
    assert kubernetes.main([*TWO_SEEDS, "--jobs=2"]) == 0 and not meanwhile
    assert diary(cloud) == []
    said = capsys.readouterr().err
    assert "figure7-finger-patchail-pair-seed-1 is going on: another launcher has started it meanwhile\n" in said
    assert "figure7-finger-patchail-single-seed-1 is finished: another" in said


def test_kubernetes_starts_anew_what_another_launcher_started_and_has_failed(cloud, meanwhile):
    def another():
        for label in ("pair", "single"):
            ended(cloud, label, "Completed")
        kubernetes.main(TWO_SEEDS)
        ended(cloud, "pair", "Failed", seed=1)
        diary(cloud)

    meanwhile.append(another)
    assert kubernetes.main([*TWO_SEEDS, "--jobs=2"]) == 0
    assert diary(cloud) == [f"{verb} figure7-finger-patchail-pair-seed-1" for verb in ("delete", "apply")]


def test_kubernetes_refuses_what_another_launcher_started_with_other_flags(cloud, meanwhile):
    def another():
        for label in ("pair", "single"):
            ended(cloud, label, "Completed")
        kubernetes.main([*TWO_SEEDS, "--seeds=1", "--config.num_frames=2_000_000"])
        diary(cloud)

    meanwhile.append(another)
    with pytest.raises(UserError, match="figure7-finger-patchail-pair-seed-1 is running with other flags"):
        kubernetes.main([*TWO_SEEDS, "--jobs=2"])
    assert diary(cloud) == []


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
    said = diary(cloud)
    assert all(line.endswith(" --yes --async --secret WANDB_API_KEY") for line in said)
    names = [line.split()[1] for line in said]
    assert [name[: -len("-01234567-01234567")] for name in names] == NAMES
    (written,) = cloud.parent.glob(f"patchail_*/{names[1]}.yaml")
    assert yaml.safe_load(written.read_text())["name"] == names[1] and written.parent.stat().st_mode & 0o077 == 0
    assert skypilot.main(words) == 0 and diary(cloud) == [] and capfd.readouterr().err == "2 queued\n"
    for path in cloud.glob("*.job"):  # both are over
        path.unlink()
    bucket["finger/patchail/pair/seed_0"] = standing.FINISHED
    assert skypilot.main(words) == 0 and [line.split()[1] for line in diary(cloud)] == names[1:]
    for path in [*cloud.iterdir(), *cloud.parent.glob("patchail_*/*.yaml")]:
        assert KEY not in path.read_text()


@pytest.mark.parametrize("words", [["--root=gs://mine/b"], ["--root=gs://mine/b", "--config.agent.discount=0.9"]])
def test_skypilot_s_jobs_of_another_root_are_not_this_one_s(cloud, bucket, capfd, words):
    assert skypilot.main([*RUNS[:-1], BUCKET]) == 0
    diary(cloud)
    capfd.readouterr()
    assert skypilot.main([*RUNS[:-1], *words]) == 0 and len(diary(cloud)) == 2 and capfd.readouterr().err == ""
    for again in ([f"{BUCKET}/", "--spot", "--cpus=2"], words):
        assert skypilot.main([*RUNS[:-1], *again]) == 0 and diary(cloud) == []
        assert capfd.readouterr().err == "2 queued\n"


@pytest.mark.parametrize("word", ["--config.agent.discount=0.9", "--accelerators=tpu-v6e-8"])
def test_a_run_that_skypilot_has_with_other_flags_is_refused(cloud, bucket, word):
    assert skypilot.main([*RUNS[:-1], BUCKET]) == 0
    name = diary(cloud)[0].split()[1]
    message = f"finger/patchail/pair/seed_0 is queued with other flags: .*cancel it .sky jobs cancel --name {name}.$"
    with pytest.raises(UserError, match=message):
        skypilot.main([*RUNS[:-1], BUCKET, word])
    assert diary(cloud) == []


def test_skypilot_s_names_are_legal_and_stay_apart():
    words = ["table1", "--seeds=0,1"]
    names = []
    for more in ([BUCKET], ["--root=gs://mine/b"], [BUCKET, "--config.agent.discount=0.9"]):
        _, found = parse(parser(""), [*words, *more])
        names += [skypilot.job_name(run, sweep) for run in found for sweep in ("table1", "m" * 70)]
    assert len(set(names)) == len(names) == 2 * 3 * 7 * 6 * 2 and max(map(len, names)) <= skypilot.NAME_LIMIT
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in names)


@pytest.mark.parametrize(
    ("words", "extras"),
    [
        (["--accelerators=H100:1"], "cuda12,gcs"),
        (["--accelerators=tpu-v6e-8"], "tpu,gcs"),
        (["--accelerators=TPU-v6e-8"], "tpu,gcs"),
        (["--accelerators="], "gcs"),
        (["--extras=cuda13"], "cuda13,gcs"),
        (["--extras=tensorboard,cuda13"], "tensorboard,cuda13,gcs"),
        (["--accelerators=", "--extras=tensorboard"], "tensorboard,gcs"),
    ],
)
def test_skypilot_installs_the_jax_of_the_accelerators(words, extras, capsys):
    assert skypilot.main([*RUNS, BUCKET, *words]) == 0
    assert {line for line in capsys.readouterr().out.splitlines() if line.startswith("setup:")} == {
        f"setup: sudo env TOOLS= EXTRAS={extras} launch/setup.sh"
    }


def test_every_bucket_that_storage_reads_has_its_extra():
    known = (Path(__file__).parents[2] / "setup.py").read_text()
    for scheme, (library, extra) in remote.READERS.items():
        assert re.search(rf'"{extra}": \[.*"{library}>=', known)
        assert options.extras_for(f"{scheme}://mine/x", "cuda12") == f"cuda12,{extra}"
    assert options.extras_for("gs/mine", "cuda12") == options.extras_for("gs", "cuda12") == "cuda12"


@pytest.mark.parametrize(
    ("accelerators", "extras", "message"),
    [
        ("tpu-v6e-8", "cuda12", "name one of tpu, or leave --extras out"),
        ("tpu-v6e-8", "tpu,cuda12", "name one of tpu"),
        ("L4:1", "tpu", "name one of cuda12, cuda13"),
        ("L4:1", "tensorboard", "name one of cuda12, cuda13"),
        ("L4:1", "", "name one of cuda12, cuda13"),
        ("", "cuda12", "name none of cuda12, cuda13, tpu"),
    ],
)
def test_extras_of_another_accelerator_are_refused(cloud, accelerators, extras, message):
    message = f"--extras={extras} does not fit --accelerators={accelerators}: {message}"
    with pytest.raises(UserError, match=message) as caught:
        skypilot.main([*RUNS[:-1], BUCKET, f"--accelerators={accelerators}", f"--extras={extras}"])
    assert "\n" not in str(caught.value) and diary(cloud) == []


def test_a_queue_that_does_not_answer_is_no_empty_queue(cloud):
    (cloud.parent / "bin/sky").write_text("#!/bin/sh\necho 'no API server' >&2; exit 1\n")
    with pytest.raises(UserError, match="does not say which runs are queued already: see sky jobs queue"):
        skypilot.main([*RUNS[:-1], BUCKET])


@pytest.mark.parametrize(
    ("main", "words", "message"),
    [
        (kubernetes.main, [*CLUSTER, "--root=runs/x"], "it must lie under /runs"),
        (kubernetes.main, [*CLUSTER, "--root=/runs/../x"], "it must lie under /runs"),
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


@pytest.mark.parametrize("words", [["--topology=2x4"], ["--topology=4x4x4"], ["--topology=4y4"], ["--hosts=2"]])
def test_a_slice_whose_hosts_would_not_have_all_its_chips_is_refused(words):
    with pytest.raises(UserError, match="--topology=.* must be of the (16|8) chips that --hosts=. with --chips=4 have"):
        kubernetes.main([*RUNS, *CLUSTER, *TPU, *words])


def test_a_run_has_one_kind_of_accelerator():
    with pytest.raises(UserError, match="--tpu and --gpu_type exclude each other"):
        kubernetes.main([*RUNS, *CLUSTER, *TPU, "--gpu_type=nvidia-l4"])


@pytest.mark.parametrize("topology", ["2x4", "2x2x2"])
def test_a_slice_whose_hosts_have_all_its_chips_is_asked_for(topology, capsys):
    words = [f"--topology={topology}", "--hosts=2", "--chips=4"]
    assert kubernetes.main([*RUNS, *CLUSTER, *TPU, *words]) == 0
    assert f"gke-tpu-topology: {topology}\n" in capsys.readouterr().out


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
    monkeypatch.setattr(jobsets, "ask", lambda *words, **more: {})
    monkeypatch.setenv("PATH", str(cloud))
    with pytest.raises(UserError, match="kubectl is not installed"):
        kubernetes.main([*RUNS[:-1], *CLUSTER])
