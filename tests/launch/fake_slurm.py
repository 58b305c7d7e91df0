"""Stands in for sbatch, srun, squeue and scontrol: tasks are processes of this machine, their states files in a folder.

``$FAKE_SLURM/ID.state`` is the state of a task, ``hold`` keeps tasks PENDING until it is ``over``, ``srun`` has the
words of srun.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

STATE = Path(os.environ["FAKE_SLURM"])


def install(folder):
    """Programs by these names in ``folder``."""
    for name in ("sbatch", "srun", "squeue", "scontrol"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        program.chmod(0o755)


def say(text):
    os.write(1, f"{text}\n".encode())


def sbatch(script):
    job = 7 + len(list(STATE.glob("*.sh")))
    text = Path(script).read_text()
    (STATE / f"{job}.sh").write_text(text)
    array = re.search(r"--array=0-(\d+)", text)
    for index in range(int(array[1]) + 1) if array else ("",):
        (STATE / f"{job}_{index}.state".replace("_.", ".")).write_text("PENDING")
        log = (STATE / f"{job}_{index}.log").open("w")
        words = [sys.executable, __file__, "task", str(job), str(index)]
        subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    say(f"Submitted batch job {job}")


def number_of(job, index):
    """Each task of an array has a number of its own, too, and one of them that of the array."""
    return str(1000 * int(job) + int(index)) if index not in ("", "0") else job


def task(job, index):
    """A task's life: it starts when it may, and again when it is queued again."""
    name = f"{job}_{index}" if index else job
    state, again = STATE / f"{name}.state", STATE / f"{name}.again"
    whole = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": index} if index else {}
    environment = {**os.environ, **whole, "SLURM_JOB_ID": number_of(job, index), "SLURM_JOB_NUM_NODES": "1"}
    while True:
        while (STATE / "hold").exists():
            time.sleep(0.05)
            if (STATE / "over").exists() or not STATE.exists():
                return
        state.write_text("RUNNING")
        status = subprocess.run(["bash", STATE / f"{job}.sh"], env=environment).returncode
        if not again.exists():
            break
        again.unlink()
    state.write_text("FAILED" if status else "COMPLETED")


def srun(*words):
    (STATE / "srun").write_text(" ".join(words))
    words, outputs = list(words), {}
    while words[0].startswith("--"):
        flag, _, value = words.pop(0).partition("=")
        outputs[flag] = value or (words.pop(0) if flag in ("--output", "--error") else "")
    job, index = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_ARRAY_TASK_ID", "")
    step = {"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    for number, flag in enumerate(("--output", "--error"), 1):
        path = outputs[flag].replace("%A", os.environ.get("SLURM_ARRAY_JOB_ID", "")).replace("%a", index)
        descriptor = os.open(path.replace("%j", job).replace("%t", "0"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, number)
    os.execvpe(words[0], words, {**os.environ, **step})


def squeue(*words):
    flags = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    assert "noheader" in flags
    for path in sorted(STATE.glob("*.state")):
        job, _, index = path.stem.partition("_")
        state = path.read_text()
        if flags["format"] == "%T" and flags["jobs"] in (job, path.stem, number_of(job, index)):
            say(state)
        elif flags["format"] == "%i" and state in ("PENDING", "RUNNING"):
            assert "array" in flags and flags["user"]
            say(path.stem)


def scontrol(verb, name):
    assert verb == "requeue"
    (STATE / f"{name}.again").touch()


if __name__ == "__main__":
    {"sbatch": sbatch, "srun": srun, "squeue": squeue, "scontrol": scontrol, "task": task}[sys.argv[1]](*sys.argv[2:])
