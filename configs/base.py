"""Every field of a run, its unit and its default: the paper's configuration (Table 2) on one task.

A *frame* is one control step of the simulator, a *step* one agent step (``env.action_repeat`` frames), an *update* one
learner update. Override any field on the command line: ``--config.env.num_envs=4``.
"""

import difflib
from collections.abc import Callable

from ml_collections import ConfigDict

from patchail_jax.errors import UserError


def _patchail(config: ConfigDict) -> None:
    """The defaults below are PatchAIL's."""


def _drqv2(config: ConfigDict) -> None:
    """DrQ-v2 with the task's own reward: the expert, and the upper bound of the imitators."""


METHODS: dict[str, Callable[[ConfigDict], None]] = {"patchail": _patchail, "drqv2": _drqv2}


def get_config(task: str, method: str = "patchail") -> ConfigDict:
    """The paper's configuration for ``task`` and ``method``; ``UserError`` for a method that does not exist."""
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"no method {method!r}: {hint}Methods are {', '.join(METHODS)}")
    config = ConfigDict()
    config.method = method
    config.seed = 0
    config.num_frames = 1_000_000  # frames of the whole run, the random ones included
    config.run_folder = ""  # "" is runs/<task>/<method>/seed_<seed>; an existing run is resumed
    config.devices = 0  # local accelerators that share a batch; 0 is all of them

    env = config.env = ConfigDict()
    env.task = task  # any DeepMind Control suite task, <domain>_<task>
    env.action_repeat = 2  # frames a step
    env.frame_stack = 3  # frames an observation, one agent step apart
    env.image_size = 84  # pixels a side
    env.camera_id = -1  # -1 is the task's own: 2 for quadruped, 0 for all others
    env.quality = "full"  # "full", or "fast": no shadows and reflections, for software rendering
    env.factory = ""  # "module:function" that makes an environment of your own (envs/factory.py); "" is the suite
    env.look = "none"  # "video": all frames, the expert's too, compressed and blurred alike, for experts from videos
    env.look_size = 0  # pixels a side that are drawn before the "video" look reduces them; 0 is image_size
    env.episode_frames = 1000  # frames an episode
    env.num_envs = 1  # environments stepped side by side
    env.workers = "process"  # "process": one process an environment; "inline": in this process

    demos = config.demos = ConfigDict()
    demos.path = ""  # npz of demonstrations (python -m patchail_jax.demos); "" is the task's shipped file
    demos.num_demonstrations = 0  # the first of the file's; 0 is all, 10 in the shipped ones
    demos.cache_dir = ""  # rendered demonstrations; "" is ~/.cache/patchail_jax

    replay = config.replay = ConfigDict()
    replay.capacity = 150_000  # transitions
    replay.n_step = 3  # steps of the n-step return
    replay.batch_size = 256  # agent windows an update, over all devices
    replay.expert_batch_size = 128  # expert pairs an update, against as many of the agent's
    replay.updates_per_call = 1  # updates dispatched to the devices at once

    agent = config.agent = ConfigDict()
    agent.optimizer = "adam"  # "adam" or "sgd"
    agent.critic_learning_rate = 1e-4  # of the encoder too
    agent.actor_learning_rate = 1e-4
    agent.discount = 0.99  # a step
    agent.target_rate = 0.01  # soft update of the target critic, an update
    agent.std_initial = 1.0  # exploration noise, linear in steps
    agent.std_final = 0.1
    agent.std_duration = 500_000  # steps
    agent.noise_clip = 0.3  # in targets and the actor's loss
    agent.shift_pad = 4  # pixels of the random shift
    agent.random_steps = 2_000  # steps with uniformly random actions
    agent.first_update_step = 6_000  # step of the first update
    agent.steps_per_update = 2  # steps

    network = config.network = ConfigDict()
    network.precision = "bfloat16"  # compute; parameters are float32. "float32" for exact comparisons and CPUs
    network.encoder_channels = 32
    network.feature_size = 50
    network.hidden_size = 1024

    discriminator = config.discriminator = ConfigDict()
    discriminator.kernel_size = 4  # pixels, 1..8 (Figure 6b)
    discriminator.channels = 32  # of the first convolution; the next have 2x and 4x
    discriminator.optimizer = "adam"
    discriminator.learning_rate = 1e-4
    discriminator.penalty_weight = 10.0
    discriminator.penalty_pixel_scale = 255.0  # the penalty's gradient is with respect to pixels on 0..this
    discriminator.augmentation = "random_shift"  # or "none"
    discriminator.augmentation_pad = 4  # pixels
    discriminator.observation = "pair"  # (s, s'), or "single": s' alone (B.1)
    discriminator.agent_successor = "one_step"  # s' of the agent's pair; "n_step" as in the published program

    reward = config.reward = ConfigDict()
    reward.form = "airl"  # "airl", "gail", "gail_log_d", "fairl" (Eq. 5)
    reward.aggregation = "mean"  # "mean", "max", "min", "median" over patches (Figure 6a)
    reward.scale = 1.0
    reward.moment = "at_update"  # Algorithm 1; "at_episode_end": scored once, as in the published program

    evaluation = config.evaluation = ConfigDict()
    evaluation.every_frames = 20_000
    evaluation.episodes = 10
    evaluation.num_envs = 1  # environments that evaluate side by side

    log = config.log = ConfigDict()
    log.every_updates = 500
    log.wandb_mode = "auto"  # "auto", "online", "offline", "disabled"
    log.wandb_project = "patchail_jax"
    log.picture = False  # frames with their patch rewards and the learning curve, when the run ends

    checkpoint = config.checkpoint = ConfigDict()
    checkpoint.every_frames = 100_000  # the replay is part of it
    checkpoint.keep = 2  # newest ones kept

    METHODS[method](config)
    return config
