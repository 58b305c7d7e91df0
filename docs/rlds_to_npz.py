"""RLDS, as TensorFlow Datasets keep it, as demonstrations of patchail_jax.

    pip install tensorflow tensorflow-datasets
    python docs/rlds_to_npz.py FOLDER_OF_THE_DATASET out.npz --task reach --camera image --image_size 84

FOLDER holds ``dataset_info.json``. A step has the action that is taken at its observation; that of the last step means
nothing. Actions outside of [-1, 1] are left out with a note.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets

from patchail_jax.demos import trajectory
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.errors import UserError
from patchail_jax.programs.console import start
from patchail_jax.storage.memory import available


def main(words: Sequence[str]) -> None:
    """Reads one episode at a time; ``words`` are the flags."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("source", type=Path)
    flags.add_argument("output", type=Path)
    flags.add_argument("--task", required=True)
    flags.add_argument("--action_repeat", type=int, default=1)
    flags.add_argument("--image_size", type=int)
    flags.add_argument("--camera", default="image", help="name among the observations (default image)")
    flags.add_argument("--split", default="train")
    flags.add_argument("--num_demonstrations", type=int)
    asked = flags.parse_args(words)
    request = Request(
        asked.task, asked.action_repeat, available(), asked.image_size, num_demonstrations=asked.num_demonstrations
    )
    gathering = Gathering(request, str(asked.source), foreign_units=True)
    dataset = tensorflow_datasets.builder_from_directory(str(asked.source)).as_dataset(split=asked.split)
    for number, episode in enumerate(tensorflow_datasets.as_numpy(dataset)):
        if gathering.full:
            break
        add(gathering, list(episode["steps"]), asked.camera, name=f"episode {number}")
    trajectory.save(asked.output, gathering.finish(f"rlds {asked.source.name}"))


def add(gathering: Gathering, steps: list[dict[str, Any]], camera: str, *, name: str) -> None:
    """One episode: ``steps`` of observation, action and reward, each at one time."""
    if camera not in steps[0]["observation"]:
        known = ", ".join(steps[0]["observation"])
        raise UserError(f"{gathering.where(name)}: has no camera {camera!r}; use --camera with one of {known}")
    if not steps[0]["is_first"]:
        gathering.leave_out("does not begin with a first step")
    frames = np.stack([step["observation"][camera] for step in steps])
    action = steps[0]["action"]
    actions = None
    if isinstance(action, np.ndarray) and action.dtype.kind == "f":
        actions = np.stack([step["action"] for step in steps])
    else:
        gathering.leave_out("its actions are no vectors of floats, and are left out")
    rewards = [step["reward"] for step in steps] if "reward" in steps[0] else None
    gathering.add_arrays(frames, actions, rewards, name=name)


if __name__ == "__main__":
    start(main, sys.argv[1:])
