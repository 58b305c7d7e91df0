"""Diffusion policy's zarr (``data/img``, ``data/action``, ``meta/episode_ends``) as demonstrations of patchail_jax.

    pip install zarr
    python docs/zarr_to_npz.py pusht_cchi_v7_replay.zarr pusht.npz --task pusht --image_size 84

Its folders and .zip files are of zarr's format 2, and actions are in units of the robot: those outside of [-1, 1] are
left out with a note, unless ``--action_bounds 0:512`` says what becomes -1 and 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import zarr

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
    flags.add_argument("--pictures", default="img", help="name below data (default img)")
    flags.add_argument("--action_bounds", help="LOW:HIGH of actions")
    asked = flags.parse_args(words)
    low_high = [tuple(float(number) for number in asked.action_bounds.split(":"))] if asked.action_bounds else []
    request = Request(asked.task, asked.action_repeat, available(), asked.image_size, bounds=tuple(low_high))
    store = zarr.storage.ZipStore(asked.source, mode="r") if asked.source.suffix == ".zip" else str(asked.source)
    root = zarr.open_group(store, mode="r")
    pictures, actions, ends = root[f"data/{asked.pictures}"], root["data/action"], root["meta/episode_ends"][:]
    counts = (pictures.shape[0], actions.shape[0])
    if len(ends) == 0 or (ends[1:] <= ends[:-1]).any() or {int(ends[-1])} != set(counts):
        raise UserError(f"{asked.source}: episode_ends must rise to the number of pictures and of actions, {counts}")
    gathering = Gathering(request, str(asked.source), foreign_units=True)
    for number, (first, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        gathering.add_arrays(pictures[first:end], actions[first:end], None, name=f"episode {number}")
    trajectory.save(asked.output, gathering.finish(f"zarr {asked.source.name}"))


if __name__ == "__main__":
    start(main, sys.argv[1:])
