"""Run folders with known evaluations."""

import json

import numpy as np

from patchail_jax.run.config import paper_config


def make_run(
    root, *, method="patchail", task="cheetah_run", seed=0, num_frames=1_000_000, returns=None, until=None, variant="",
    **config
):  # fmt: skip
    """A run of the shipped configuration, with ``returns(frame)`` at every 20,000 frames up to ``until``."""
    folder = root / task / method / f"seed_{seed}"
    folder.mkdir(parents=True)
    fields = paper_config(task, "+".join(filter(None, (method, variant))))
    fields.update({"seed": seed, "num_frames": num_frames, **config})
    (folder / "config.json").write_text(json.dumps(fields.to_dict()))
    (folder / "lock").touch()
    frames = np.arange(0, (num_frames if until is None else until) + 1, 20_000)
    rows = [f"{method},{task},{seed},{frame},{returns(frame) if returns else 0.0},0.1\n" for frame in frames]
    (folder / "eval.csv").write_text("agent,task,seed,frame,episode_reward,hour\n" + "".join(rows))
    return folder
