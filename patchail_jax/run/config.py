"""Every field of a run, its unit, its default and its bounds: the paper's configuration (Table 2) on one task.

A *frame* is one control step of the simulator, a *step* one agent step (``env.action_repeat`` frames), an *update* one
learner update. Override any field on the command line: ``--config.env.num_envs=4``.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from patchail_jax.errors import UserError
from patchail_jax.run.number import KINDS, MOST, Number, defaults, is_of
from patchail_jax.run.presets import PRESETS, VARIANTS
from patchail_jax.storage.run_config import flatten

RATE, SHARE = Number(1e-4, 0.0), (0.0, 1.0)  # a learning rate; the least and the most of a share
# Rates fall in a straight line from the optimizers' step `start` on, over `updates` steps, to `final` of themselves.
DECAY = {"start": Number(0, 0, MOST), "updates": Number(0, 0, MOST, zero="never"), "final": Number(0.0, *SHARE)}

FIELDS: Mapping[str, Any] = {
    "method": "patchail",
    "seed": Number(0, 0, 2**32 - 1),
    "num_frames": Number(1_000_000, 1, 10**12),  # frames of the whole run, the random ones included
    "run_folder": "",  # "" is runs/<task>/<method>/seed_<seed>; an existing run is resumed; may be gs://
    "devices": Number(0, 0, zero="all"),  # local accelerators that share a batch
    "device_mapping": "pmap",  # how devices share a batch: "pmap", or "shard_map" (jit), which gives the same numbers
    "platform": "",  # kind of the accelerators: "gpu", "tpu" or "cpu"; "": whatever JAX finds
    "init_from": "",  # RUN: the first state takes over "init_parts" of that run's newest checkpoint
    "init_parts": "policy",  # "policy" (encoder and actor), "encoder", "discriminator"; several with + between
    "hosts": {  # several processes that train one run together
        # "": asks JAX whether SLURM, Open MPI or a TPU pod started several; "auto": it must find them; "alone": this
        # process trains by itself; or address:port of the first.
        "coordinator": "",
        "count": Number(0, 0),  # processes, with address:port
        "index": Number(-1, -1),  # this process's number, with address:port
        "lost_seconds": Number(60, 10),  # the others end when a process is silent for so long
    },
    "env": {
        "task": "",  # any DeepMind Control suite task, <domain>_<task>
        "observation": "pixels",  # "pixels", or "features": the physics' own, for DrQ-v2 without demonstrations
        "action_repeat": Number(2, 1, 1000),  # frames a step
        "frame_stack": Number(3, 1, 64),  # frames an observation, one agent step apart
        "image_size": Number(84, 1, 4096),  # pixels a side
        "camera_id": Number(-1, -1),  # -1 is the task's own: 2 for quadruped, 0 for all others
        "quality": "full",  # "full", or "fast": no shadows, no reflections, coarser round shapes, for drawing on a CPU
        "factory": "",  # "module:function" that makes an environment of your own; "" is the suite
        "look": "none",  # "video": all frames, the expert's too, compressed and blurred alike, for experts from videos
        "look_size": Number(0, 0, 4096, zero="image_size"),  # pixels a side that are drawn before the "video" look
        "episode_frames": Number(1000, 1),  # frames an episode
        "num_envs": Number(1, 1, 4096),  # environments stepped side by side
        "workers": "process",  # "process": one process an environment; "inline": in this process
    },
    "demos": {
        "path": "",  # npz of demonstrations (patchail demos); "" is the task's shipped file
        "num_demonstrations": Number(0, 0, zero="all"),  # the first of the file's; the shipped files have 10
        "cache_dir": "",  # rendered demonstrations; "" is ~/.cache/patchail_jax
        "other_renderer": False,  # True: the expert may be drawn by another OpenGL renderer than the agent
    },
    "replay": {
        "capacity": Number(150_000, 1),  # transitions
        "n_step": Number(3, 1, 1000),  # steps of the n-step return
        "batch_size": Number(256, 1, 2**20),  # agent windows an update, over all devices
        "expert_batch_size": Number(128, 0, 2**20, zero="batch_size"),  # pairs of the expert, and of the agent
        "updates_per_call": Number(1, 1, 10_000),  # updates dispatched to the devices at once
        # Updates between two scorings of all of replay, where rewards are stored; at first after 32, 64, 128, ...
        "rescore_updates": Number(0, 0, zero="never"),
        "frames_on_device": "auto",  # "auto" where the frames fit in the devices' memory; "yes", "no"
    },
    "agent": {
        "optimizer": "adam",  # "adam" or "sgd"
        "critic_learning_rate": RATE,  # of the encoder too
        "actor_learning_rate": RATE,
        "decay": DECAY,  # of both rates; in the paper they do not fall
        "discount": Number(0.99, *SHARE),  # a step
        "target_rate": Number(0.01, *SHARE),  # soft update of the target critic, an update
        "std_initial": Number(1.0, 0.0, 100.0),  # exploration noise, linear in steps
        "std_final": Number(0.1, 0.0, 100.0),
        "std_duration": Number(500_000, 1, MOST),  # steps
        "noise_clip": Number(0.3, 0.0),  # bound of the noise in the critic's targets and in the actor's loss
        # Weight of the mean square of actions before tanh in the actor's loss: keeps them off their bounds.
        "preactivation_penalty": Number(0.0, 0.0),
        "shift_pad": Number(4, 0, 1024),  # pixels of the random shift
        "random_steps": Number(2_000, 0, MOST),  # steps with uniformly random actions
        "first_update_step": Number(6_000, 0, MOST),  # step of the first update
        "steps_per_update": Number(2, 1, MOST),  # steps
    },
    "network": {
        # What layers compute in; parameters are float32. On an H200 an update is 1.8 times as fast in bfloat16 as in
        # float32 (docs/speed.md). "float32" for exact comparisons, and for CPUs.
        "precision": "bfloat16",
        "encoder_channels": Number(32, 1, 4096),
        "feature_size": Number(50, 1, 65536),
        "hidden_size": Number(1024, 1, 65536),
        "trunk": "own",  # of actor and critic each; "shared": one, behind the encoder and trained with it, as LAIfO's
    },
    "discriminator": {
        "architecture": "convolutional",  # or "transformer": the group below
        "kernel_size": Number(4, 1, 4096),  # pixels (Figure 6b: 1, 2, 3, 4, 5, 8)
        "channels": Number(32, 1, 4096),  # of the first convolution; the next have 2x and 4x
        "optimizer": "adam",
        "learning_rate": RATE,
        "decay": DECAY,
        "penalty_weight": Number(10.0, 0.0),
        "penalty_of": "logit",  # what its gradient is of; "probability": of sigmoid(logit), as LAIfO's
        "penalty_groups": "samples",  # what a norm is of (Gulrajani et al.); "channels" as in the published program
        "penalty_pixel_scale": Number(255.0, 1e-6),  # the penalty's gradient is with respect to pixels on 0..this
        "augmentation": "random_shift",  # "random_erasing", "random_resized_crop", "rand_augment", "none" (B.4)
        "augmentation_pad": Number(4, 0, 1024),  # pixels of the random shift
        "observation": "pair",  # (s, s'), or "single": s' alone (B.1)
        "agent_successor": "one_step",  # s' of the agent's pair; "n_step" as in the published program
        "expert_successor": "one_step",  # s' of the expert's pair; "n_step" as LAIfO's
        "agent_views": "own",  # draws of its augmentation; "learner": the critic's draws and pad, as published
    },
    "transformer": {  # instead of the convolutions (the paper's open choice)
        "patch_size": Number(12, 1, 4096),  # pixels a side; must divide the image
        "width": Number(128, 1, 65536),  # channels of a token
        "depth": Number(4, 1, 1024),  # blocks
        "heads": Number(4, 1, 1024),
    },
    "reward": {
        "form": "airl",  # "airl", "gail", "gail_log_d", "fairl" (Eq. 5); "probability", "mode" (0 or 1) as LAIfO's
        "aggregation": "mean",  # "mean", "max", "min", "median" over patches (Figure 6a)
        "order": "form_first",  # "aggregation_first" of logits, as in the published program
        "scale": Number(1.0, -math.inf),
        "moment": "at_update",  # Algorithm 1; "at_episode_end": scored once, as in the published program
        "pairs": "steps",  # each step's (s, s'); "window": one reward a window, of (s_t, s_{t+n}), as LAIfO's
        "augmented": False,  # True: what is scored at an update is augmented anew, as LAIfO's
    },
    "similarity": {
        "regularizer": "none",  # "weight" (PatchAIL-W, Eq. 9), "bonus" (PatchAIL-B, Eq. 10)
        "scale_initial": Number(1.0, 0.0),  # lambda is this over the mean similarity of the first update
        "distribution": "sigmoid",  # logits to a distribution over patches: "sigmoid" or "softmax"
        "expert": "mean",  # Eq. 8; "mean_logits" (Eq. 7), "nearest" (Eq. 6); "mean_scores" as in the published program
        "expert_pairs": "batch",  # the update's; "trajectory": a whole demonstration, as in the published program
        "agent_pairs": "steps",  # each step's (s, s'); "window": (s_t, s_{t+n}), as in the published program
    },
    "cloning": {
        "pretraining_updates": Number(0, 0, MOST),  # of encoder and actor, on demonstrations, before the first step
        "weight_initial": Number(0.0, *SHARE),  # of the cloning term in the actor's loss (B.3: 1.0); 0: no such term
        "weight_final": Number(0.01, *SHARE),  # of the linear schedule
        "weight_duration": Number(400_000, 1, MOST),  # steps
        "schedule": "linear",  # of the weight; "exponential", to 0; "soft_q_filter": ROT's, by the policy at the start
        "weight_factor": Number(0.933, 0.001, 1.0),  # of the exponential, every so many steps (Jena et al. 2020)
        "weight_factor_steps": Number(500, 1, MOST),  # steps
        "likelihood_scale": Number(0.03, 0.0),  # of the log-likelihood in that term
        "std": Number(0.1, 1e-6),  # of the policy in the likelihood
    },
    "optimal_transport": {
        "features": "encoder",  # what costs are between; "trunk": the actor's 50, as in the published program
        "first_observation": False,  # True: s_0 is transported too, as in the published program
        # Features at which "soft_q_filter" evaluates the critic: the policy's; "reference": the frozen encoder's.
        "filter_features": "online",
        "epsilon": Number(0.01, 1e-6),  # entropy's weight in the plan, in units of the cosine cost
        "iterations": Number(100, 1, MOST),  # of Sinkhorn's algorithm, at most
        "first_sum": Number(10.0, 0.0),  # magnitude of the sum of the first episode's rewards
        "target_steps": Number(20_000, 1, MOST),  # steps between two refreshments of the target
    },
    "evaluation": {
        "every_frames": Number(20_000, 0, zero="at the end alone"),
        "episodes": Number(10, 1),
        "num_envs": Number(1, 1, 4096),  # environments that evaluate side by side
    },
    "log": {
        "every_updates": Number(500, 0, 10_000, zero="never"),  # scalars stay in memory until they are logged
        "wandb_mode": "auto",  # "auto", "online", "offline", "disabled"
        "wandb_project": "patchail_jax",
        "tensorboard": False,  # event files in the run folder; needs the extra "tensorboard"
        "films": True,  # at each evaluation, a film of the agent beside its patch rewards, and its maps for the page
        "picture": False,  # frames with their patch rewards and the learning curve, when the run ends
    },
    "checkpoint": {
        "every_frames": Number(100_000, 0, zero="at the end and at a stop alone"),  # the replay is part of it
        "every_updates": Number(5_000, 0, zero="never"),  # in pre-training, which plays no frames
        "keep": Number(2, 1),  # newest ones kept; several processes keep 2 at least
        "keep_every_frames": Number(250_000, 0, zero="never"),  # parameters alone, kept for good: explain --checkpoint
    },
}


def paper_config(task: str, method: str = "patchail") -> ConfigDict:
    """The paper's configuration for ``task`` and ``method``, variants behind it: ``patchail+published``.

    ``UserError`` for a method or variant that does not exist.
    """
    method, *variants = str(method).split("+")
    for variant in variants:
        if variant not in VARIANTS:
            raise UserError(f"no variant {variant!r} of a method: variants are {', '.join(VARIANTS)}")
    if method not in PRESETS:
        near = difflib.get_close_matches(method, PRESETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"no method {method!r}: {hint}Methods are {', '.join(PRESETS)}")
    config = ConfigDict(defaults(FIELDS))
    config.env.task = task
    apply_preset(config, method)
    for variant in variants:
        config.update_from_flattened_dict(VARIANTS[variant](task, method))
    return config


def apply_preset(config: ConfigDict, method: str) -> None:
    """Sets what ``method`` changes of the defaults."""
    config.method = method
    config.update_from_flattened_dict(PRESETS[method])


def stored_config(stored: Mapping[str, Any]) -> ConfigDict:
    """A run's ``config.json``; fields that are newer than the run have their defaults.

    ``UserError`` for a field that this version does not have, as it meant something, and as ``refuse_numbers``.
    """
    config = paper_config(stored["env"]["task"], stored["method"])
    for name in flatten(stored).keys() - flatten(config.to_dict()).keys():
        raise UserError(f"the run was made by another version of this program: it has config.{name}")
    with config.ignore_type():
        config.update(stored)
    refuse_numbers(config)
    return config


def unknown_field(name: str, known: Iterable[str]) -> UserError:
    """The error that names the field of ``known`` nearest to ``name``."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return UserError(f"no config key config.{name}" + (f"; did you mean config.{near[0]}?" if near else ""))


def refuse_fields(config: ConfigDict) -> None:
    """``UserError`` names the first field that is unknown, missing, or of another type than its default."""
    values, known = flatten(config.to_dict()), flatten(defaults(FIELDS))
    for name in sorted(values.keys() - known.keys()):
        if any(field.startswith(f"{name}.") for field in known):
            raise UserError(f"config.{name} is {values[name]!r}; it must be a group of fields")
        raise unknown_field(name, known)
    for name, default in known.items():
        if name not in values:
            raise UserError(f"config.{name} is missing")
        if not is_of(type(default), values[name]):
            raise UserError(f"config.{name} is {values[name]!r}; it must be {KINDS[type(default)]}")


def refuse_numbers(config: ConfigDict) -> None:
    """As ``refuse_fields``; also ``UserError`` names the first number that is out of bounds, and what it may be."""
    refuse_fields(config)
    values = flatten(config.to_dict())
    for name, number in flatten(FIELDS).items():
        if isinstance(number, Number) and not number.allows(values[name]):
            raise UserError(f"config.{name} is {values[name]}; {number.bounds()}")
