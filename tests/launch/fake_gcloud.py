#!/usr/bin/env python3
"""Stands in for gcloud: a request that is granted at the third look, and one worker, whose home is $FAKE_HOME.

With $FAKE_SILENCE it knows no slice and says why. With $FAKE_DROP the connection is lost while a sweep is followed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

words, home = sys.argv[1:], Path(os.environ["FAKE_HOME"])
flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
log = (home / "gcloud.log").read_text().splitlines() if (home / "gcloud.log").exists() else []
there = [line.split()[-1] for line in log if line.endswith((" create", " delete"))][-1:] == ["create"]
if words[3:4] == ["describe"] and (not there or "FAKE_SILENCE" in os.environ):
    sys.exit(os.environ.get("FAKE_SILENCE", "ERROR: (gcloud.compute.tpus) NOT_FOUND: Resource 'pail' was not found"))
with (home / "gcloud.log").open("a") as log:
    log.write(" ".join(words[2:4]) + "\n")
if words[0] == "secrets":
    os.write(1, b"the key's value\n")
elif words[3:4] == ["describe"]:
    looks = (home / "gcloud.log").read_text().count("describe")
    states = os.environ["FAKE_STATES"].split(",")
    os.write(1, f"{states[min(looks, len(states)) - 1]}\n".encode())
elif words[2:4] == ["tpu-vm", "ssh"]:
    if "FAKE_DROP" in os.environ and flags["command"].startswith("tail"):
        sys.exit(255)
    sys.exit(subprocess.run(["bash", "-c", flags["command"]], cwd=home).returncode)
elif words[2:4] == ["tpu-vm", "scp"]:
    source, target = [word for word in words[4:] if not word.startswith("--")]
    if ":" in target:
        shutil.copy(source, home / target.split(":", 1)[1])
    else:
        shutil.copytree(home / source.split(":", 1)[1], Path(target) / Path(source).name)
