"""Manifests against the schemas of those who take them: JobSet's, Kubernetes' and SkyPilot's.

Each test is left out where its library is not installed: ``pip install -e .[launch-test]``.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from patchail_jax.launch import kubernetes, skypilot
from tests.launch.test_manifests import BUCKET, CLUSTER, GPU, RUNS, TPU, bucket  # noqa: F401
from tests.launch.test_tpu_pod import AWKWARD

SCHEMA = Path(__file__).parent / "schemas/jobset_v1alpha2.json"
PLACES = {"cpu": [*CLUSTER, "--gpus=0"], "gpu": [*CLUSTER, *GPU], "tpu": [*CLUSTER[:2], *TPU, "--spot", AWKWARD]}


def job_sets(place, capsys):
    assert kubernetes.main([*RUNS, *PLACES[place]]) == 0
    _, _, text = capsys.readouterr().out.partition("\n")
    return list(yaml.safe_load_all(text.removesuffix("END\n")))


def strict(schema):
    """As an API server reads a schema: fields that it does not name are errors, and numbers may be words."""
    if isinstance(schema, list):
        return [strict(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        made.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    return made


@pytest.mark.parametrize("place", PLACES)
def test_a_job_set_is_one_by_its_schema(place, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    schema = strict(json.loads(SCHEMA.read_text()))
    schema["properties"]["metadata"] = {"type": "object"}
    check = jsonschema.Draft202012Validator(schema)
    for made in job_sets(place, capsys):
        check.validate(made)
        made["spec"]["replicatedJobs"][0]["template"]["spec"]["podFailurePolicies"] = {}
        assert [error.validator for error in check.iter_errors(made)] == ["additionalProperties"]


@pytest.mark.parametrize("place", PLACES)
def test_the_job_in_a_job_set_is_one_of_kubernetes(place, capsys):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for made in job_sets(place, capsys):
        spec = made["spec"]["replicatedJobs"][0]["template"]["spec"]
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": made["metadata"], "spec": spec}
        kubernetes_validate.validate(job, "1.31", strict=True)
        spec["template"]["spec"]["containers"][0]["environment"] = []
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(job, "1.31", strict=True)


CHECK = """
import json, sys, sky
for path in sys.argv[1:]:
    task = sky.Task.from_yaml(path)
    (resources,) = task.resources
    restarts = resources.job_recovery["max_restarts_on_errors"]
    held = task.name, task.run.split()[1:3], resources.use_spot, resources.accelerators, restarts
    sys.stdout.write(json.dumps(held) + chr(10))
"""


def test_skypilot_reads_its_tasks(tmp_path, capsys, monkeypatch):
    """In a process and a home of its own: importing SkyPilot makes folders, and takes seconds."""
    pytest.importorskip("sky")
    monkeypatch.delenv(skypilot.KEY, raising=False)
    paths = []
    for name, words in {
        "gpu": ["--spot"],
        "tpu": ["--accelerators=tpu-v6e-8"],
        "cpu": ["--accelerators="],
    }.items():
        assert skypilot.main([*RUNS, BUCKET, *words, AWKWARD]) == 0
        text = capsys.readouterr().out.split("<<'END'\n")[1].partition("END\n")[0]
        paths.append(tmp_path / f"{name}.yaml")
        paths[-1].write_text(text)
    environment = {**os.environ, "HOME": str(tmp_path), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    done = subprocess.run([sys.executable, "-c", CHECK, *paths], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names, *held = zip(*(json.loads(line) for line in done.stdout.splitlines() if "figure7" in line), strict=True)
    assert all(re.fullmatch("figure7-finger-patchail-pair-seed-0(-[0-9a-f]{8}){2}", name) for name in names)
    assert list(zip(*held, strict=True)) == [
        (["-m", "patchail_jax.main"], True, {"L4": 1}, 3),
        (["-m", "patchail_jax.main"], False, {"tpu-v6e-8": 1}, 3),
        (["-m", "patchail_jax.main"], False, None, 3),
    ]
