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


def _patchail_w(config: ConfigDict) -> None:
    """PatchAIL-W: the similarity to the expert weights the reward (Eq. 9)."""
    config.similarity.regularizer = "weight"
    config.similarity.scale_initial = 1.3
    config.replay.capacity = 1_000_000


def _patchail_b(config: ConfigDict) -> None:
    """PatchAIL-B: the similarity to the expert is a bonus (Eq. 10)."""
    config.similarity.regularizer = "bonus"
    config.similarity.scale_initial = 0.5
    config.reward.scale = 0.5
    config.replay.capacity = 1_000_000


def _encoder_ail(config: ConfigDict) -> None:
    """The discriminator judges features, the critic's or its own encoder's; fields of patches do not apply."""


def _bc(config: ConfigDict) -> None:
    """Behaviour cloning: 55,000 updates and nothing played; frames are those that go with as many updates."""
    config.num_frames = 220_000
    config.agent.random_steps = 0
    config.agent.first_update_step = 0
    config.replay.capacity = 1


def _rot(config: ConfigDict) -> None:
    """ROT: behaviour cloning first, then optimal-transport rewards; no random exploration."""
    config.cloning.pretraining_updates = 55_000
    config.agent.random_steps = 0
    config.agent.std_initial = config.agent.std_final = 0.1


def _drqv2(config: ConfigDict) -> None:
    """DrQ-v2 with the task's own reward: the expert, and the upper bound of the imitators."""


def _drqv2_features(config: ConfigDict) -> None:
    """DrQ-v2 from the physics' features with the task's own reward: under an hour on one CPU core."""
    config.num_frames = 500_000
    config.env.observation = "features"
    config.env.frame_stack = 1
    config.replay.batch_size = config.replay.expert_batch_size = 128
    config.agent.critic_learning_rate = 1e-3
    config.agent.std_duration = 5_000
    config.agent.random_steps = 500
    config.agent.first_update_step = 1_000
    config.agent.steps_per_update = 1
    config.network.precision = "float32"
    config.network.hidden_size = 256


PRESETS: dict[str, Callable[[ConfigDict], None]] = {
    "patchail": _patchail,
    "patchail_w": _patchail_w,
    "patchail_b": _patchail_b,
    "shared_encoder_ail": _encoder_ail,
    "independent_encoder_ail": _encoder_ail,
    "bc": _bc,
    "rot": _rot,
    "drqv2": _drqv2,
    "drqv2_features": _drqv2_features,
}


def _published(config: ConfigDict) -> None:
    """Every departure of the authors' program from the paper at once."""
    config.reward.moment = "at_episode_end"
    config.discriminator.agent_successor = "n_step"
    config.similarity.expert_pairs = "trajectory"
    config.similarity.agent_pairs = "window"
    config.optimal_transport.features = "trunk"
    config.network.precision = "float32"


VARIANTS: dict[str, Callable[[ConfigDict], None]] = {"published": _published}


def paper_config(task: str, method: str = "patchail") -> ConfigDict:
    """The paper's configuration for ``task`` and ``method``, variants behind it: ``patchail+published``.

    ``UserError`` for a method or variant that does not exist.
    """
    method, *variants = method.split("+")
    for variant in variants:
        if variant not in VARIANTS:
            raise UserError(f"no variant {variant!r} of a method: variants are {', '.join(VARIANTS)}")
    if method not in PRESETS:
        near = difflib.get_close_matches(method, PRESETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"no method {method!r}: {hint}Methods are {', '.join(PRESETS)}")
    config = ConfigDict()
    config.method = method
    config.seed = 0
    config.num_frames = 1_000_000  # frames of the whole run, the random ones included
    config.run_folder = ""  # "" is runs/<task>/<method>/seed_<seed>; an existing run is resumed; may be gs://
    config.devices = 0  # local accelerators that share a batch; 0 is all of them

    hosts = config.hosts = ConfigDict()  # several processes that train one run together
    hosts.coordinator = ""  # "" from SLURM's, Open MPI's or a TPU's variables; "auto": JAX finds out; or address:port
    hosts.count = 0  # processes, with address:port
    hosts.index = -1  # this process's number, with address:port
    hosts.lost_seconds = 60  # a process not heard of for so long ends the others

    env = config.env = ConfigDict()
    env.task = task  # any DeepMind Control suite task, <domain>_<task>
    env.observation = "pixels"  # "pixels", or "features": the physics' own, for DrQ-v2 without demonstrations
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
    # Updates between two scorings of all of replay, where rewards are stored at the end of episodes: a moment between
    # the paper's and the published program's. 0 is never.
    replay.rescore_updates = 0
    replay.frames_on_device = "auto"  # "auto" where the frames fit in the devices' memory; "yes", "no"

    agent = config.agent = ConfigDict()
    agent.optimizer = "adam"  # "adam" or "sgd"
    agent.critic_learning_rate = 1e-4  # of the encoder too
    agent.actor_learning_rate = 1e-4
    # Both fall in a straight line from the optimizers' step `start` on, over `updates` steps, to `final` of themselves.
    agent.decay = ConfigDict({"start": 0, "updates": 0, "final": 0.0})  # 0 updates: they do not, as in the paper
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
    # What layers compute in; parameters are float32. bfloat16 is twice as fast on GPUs, and three seeds of the
    # quickstart in each learn alike (README, Speed). "float32" for exact comparisons, and for CPUs: they are slower.
    network.precision = "bfloat16"
    network.encoder_channels = 32
    network.feature_size = 50
    network.hidden_size = 1024

    discriminator = config.discriminator = ConfigDict()
    discriminator.architecture = "convolutional"  # or "transformer": the fields below "transformer"
    discriminator.kernel_size = 4  # pixels, 1..8 (Figure 6b)
    discriminator.channels = 32  # of the first convolution; the next have 2x and 4x
    discriminator.optimizer = "adam"
    discriminator.learning_rate = 1e-4
    discriminator.decay = ConfigDict({"start": 0, "updates": 0, "final": 0.0})  # as agent.decay
    discriminator.penalty_weight = 10.0
    discriminator.penalty_pixel_scale = 255.0  # the penalty's gradient is with respect to pixels on 0..this
    discriminator.augmentation = "random_shift"  # "random_cutout", "random_crop_resize", "rand_augment", "none" (B.4)
    discriminator.augmentation_pad = 4  # pixels: the strength of all of them
    discriminator.observation = "pair"  # (s, s'), or "single": s' alone (B.1)
    discriminator.agent_successor = "one_step"  # s' of the agent's pair; "n_step" as in the published program

    transformer = config.transformer = ConfigDict()  # instead of the convolutions (the paper's open choice)
    transformer.patch_size = 12  # pixels a side; must divide the image
    transformer.width = 128  # channels of a token
    transformer.depth = 4  # blocks
    transformer.heads = 4

    reward = config.reward = ConfigDict()
    reward.form = "airl"  # "airl", "gail", "gail_log_d", "fairl" (Eq. 5)
    reward.aggregation = "mean"  # "mean", "max", "min", "median" over patches (Figure 6a)
    reward.scale = 1.0
    reward.moment = "at_update"  # Algorithm 1; "at_episode_end": scored once, as in the published program

    similarity = config.similarity = ConfigDict()
    similarity.regularizer = "none"  # "weight" (PatchAIL-W, Eq. 9), "bonus" (PatchAIL-B, Eq. 10)
    similarity.scale_initial = 1.0  # lambda is this over the mean similarity of the first update
    similarity.distribution = "sigmoid"  # logits to a distribution over patches: "sigmoid" or "softmax"
    similarity.expert = "mean"  # of the expert's distributions (Eq. 8); "mean_logits" (Eq. 7); "nearest" (Eq. 6)
    similarity.expert_pairs = "batch"  # the update's; "trajectory": a whole demonstration, as in the published program
    similarity.agent_pairs = "steps"  # each step's (s, s'); "window": (s_t, s_{t+n}), as in the published program

    cloning = config.cloning = ConfigDict()
    cloning.pretraining_updates = 0  # of encoder and actor on the demonstrations alone, before the first step is played
    cloning.weight_initial = 0.0  # of the cloning term in the actor's loss (B.3: 1.0), linear in steps; 0: no such term
    cloning.weight_final = 0.01
    cloning.weight_duration = 400_000  # steps
    cloning.likelihood_scale = 0.03  # of the log-likelihood in that term
    cloning.std = 0.1  # of the policy in the likelihood

    transport = config.optimal_transport = ConfigDict()
    transport.features = "encoder"  # what costs are between; "trunk": the actor's 50, as in the published program
    transport.epsilon = 0.01  # entropy's weight in the plan, in units of the cosine cost
    transport.iterations = 100  # of Sinkhorn's algorithm, at most
    transport.first_sum = 10.0  # magnitude of the sum of the first episode's rewards
    transport.target_steps = 20_000  # steps between two refreshments of the target

    evaluation = config.evaluation = ConfigDict()
    evaluation.every_frames = 20_000
    evaluation.episodes = 10
    evaluation.num_envs = 1  # environments that evaluate side by side

    log = config.log = ConfigDict()
    log.every_updates = 500
    log.wandb_mode = "auto"  # "auto", "online", "offline", "disabled"
    log.wandb_project = "patchail_jax"
    log.tensorboard = False  # event files in the run folder; needs the extra "tensorboard"
    log.films = True  # at each evaluation, a film of the agent under its patch rewards, and its maps for the run's page
    log.picture = False  # frames with their patch rewards and the learning curve, when the run ends

    checkpoint = config.checkpoint = ConfigDict()
    checkpoint.every_frames = 100_000  # the replay is part of it
    checkpoint.keep = 2  # newest ones kept

    PRESETS[method](config)
    for variant in variants:
        VARIANTS[variant](config)
    return config
