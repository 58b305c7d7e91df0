"""Stands in for ``kubectl`` and ``sky``: what is applied or launched lies in a folder, a file each, and is listed."""

import json
import os
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_CLOUDS"])


def install(folder):
    """Programs by these names in ``folder``."""
    for name in ("kubectl", "sky"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        program.chmod(0o755)


def note(*words):
    with (STATE / "diary").open("a") as diary:
        diary.write(f"{' '.join(words)}\n")


def kubectl(*words):
    import yaml

    flags, words = [word for word in words if word.startswith("-")], [word for word in words if word[0] != "-"]
    match words:
        case ["get", "jobsets"]:
            if (STATE / "hiccup").exists():
                (STATE / "hiccup").unlink()
                sys.exit("Unable to connect to the server: net/http: TLS handshake timeout")
            (sweep,) = (flag.partition("patchail/sweep=")[2] for flag in flags if "selector" in flag)
            items = [json.loads(path.read_text()) for path in sorted(STATE.glob("*.jobset"))]
            items = [item for item in items if item["metadata"]["labels"]["patchail/sweep"] == sweep]
            os.write(1, json.dumps({"items": items}).encode())
            if (STATE / "quick").exists():  # whatever runs has ended by the next question
                for path in STATE.glob("*.jobset"):
                    end(path, "Completed")
        case ["apply"]:
            for made in yaml.safe_load_all(sys.stdin.read()):
                path = STATE / f"{made['metadata']['name']}.jobset"
                if path.exists() and json.loads(path.read_text())["spec"] != made["spec"]:
                    sys.exit('The JobSet is invalid: spec.replicatedJobs: Invalid value: "": field is immutable')
                path.write_text(json.dumps(made))
                note("apply", made["metadata"]["name"])
        case ["delete", "jobset", *names]:
            assert "--cascade=foreground" in flags  # else the Jobs of the old one are there when the new one comes
            for name in names:
                (STATE / f"{name}.jobset").unlink()
                note("delete", name)


def end(path, how):
    """Gives a JobSet its last condition, as the controller does."""
    condition = {"type": how, "status": "True"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": {"conditions": [condition]}}))


def sky(*words):
    if words[1] == "queue":
        assert {"--all", "--skip-finished"} <= {*words} and words[-2:] == ("--output", "json")
        if not (STATE / "controller").exists():
            sys.exit("sky.exceptions.ClusterNotUpError: No in-progress managed jobs.")
        jobs = [{"job_id": 1, "job_name": path.stem, "status": "PENDING"} for path in STATE.glob("*.job")]
        os.write(1, f"{json.dumps(jobs, indent=2)}\n".encode())
    else:
        name = Path(words[-1]).stem
        for path in (STATE / "controller", STATE / f"{name}.job"):
            path.touch()
        note("launch", name, *words[2:-1])


if __name__ == "__main__":
    {"kubectl": kubectl, "sky": sky}[sys.argv[1]](*sys.argv[2:])
