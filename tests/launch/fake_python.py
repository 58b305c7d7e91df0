#!/usr/bin/env python3
"""Stands in for the interpreter of a run: does what the run's label says, and writes down that it did."""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

assert sys.argv[1:3] == ["-m", "patchail_jax.main"], sys.argv
flags = dict(word[2:].split("=", 1) for word in sys.argv[3:])
folder = Path(flags["config.run_folder"])
folder.mkdir(parents=True, exist_ok=True)
lock = (folder / "lock").open("w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    os.write(2, b"error: another process is running here\n")
    sys.exit(2)
diary = folder / "diary"
tries = len(diary.read_text().splitlines()) if diary.exists() else 0
with diary.open("a") as stream:
    names = ("CUDA_VISIBLE_DEVICES", "MUJOCO_EGL_DEVICE_ID", "XLA_PYTHON_CLIENT_MEM_FRACTION")
    stream.write(f"{time.time()} {' '.join(os.environ.get(name, '-') for name in names)}\n")
os.write(1, b"said to the console\n")


def finish():
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0.5")))
    (folder / "metrics.jsonl").write_text('{"frame": 400}\n{"fra')
    (folder / "eval.csv").write_text("agent,task,seed,frame,episode_reward,hour\npatchail,finger_spin,0,400,12.5,0.1\n")
    (folder / "finished.json").write_text(json.dumps({"num_frames": int(flags["config.num_frames"])}))
    (folder / "ended").write_text(str(time.time()))


def save(number, frame):
    time.sleep(float(os.environ.get("FAKE_SAVE_SECONDS", "0.3")))
    (folder / "saved").write_text("")
    sys.exit(128 + number)


match folder.parent.name:
    case "max" if tries < 2:  # crashes twice
        os.kill(os.getpid(), signal.SIGKILL)
    case "min":
        sys.exit(1)
    case "median":
        os.write(2, b"error: no such thing as [red]this[/red]\nand a word of its libraries\n")
        sys.exit(2)
    case "pair" if not tries:  # waits to be stopped
        signal.signal(signal.SIGTERM, save)  # again in the midst of it, too
        os.write(1, b"ready\n")
        time.sleep(60)
    case _:
        finish()
