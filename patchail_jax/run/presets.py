"""What each method changes of the defaults in ``run.config``, and what the variants behind a method's name do."""

from collections.abc import Callable, Mapping

Value = str | int | float | bool

PRESETS: Mapping[str, Mapping[str, Value]] = {
    # The defaults are PatchAIL's.
    "patchail": {},
    # PatchAIL-W: the similarity to the expert weights the reward (Eq. 9).
    "patchail_w": {
        "similarity.regularizer": "weight",
        "similarity.scale_initial": 1.3,
        "replay.capacity": 1_000_000,
    },
    # PatchAIL-B: the similarity to the expert is a bonus (Eq. 10).
    "patchail_b": {
        "similarity.regularizer": "bonus",
        "similarity.scale_initial": 0.5,
        "reward.scale": 0.5,
        "replay.capacity": 1_000_000,
    },
    # The discriminator judges features, the critic's or its own encoder's; fields of patches do not apply.
    "shared_encoder_ail": {},
    "independent_encoder_ail": {},
    # LAIfO: one latent space of actor, critic and discriminator; rewards of 0 or 1, which pay for staying alive where
    # episodes can end before their time.
    "laifo": {
        "network.trunk": "shared",
        "discriminator.learning_rate": 4e-4,
        "discriminator.penalty_of": "probability",
        "discriminator.agent_successor": "n_step",
        "discriminator.expert_successor": "n_step",
        "reward.form": "mode",
        "reward.pairs": "window",
        "reward.augmented": True,
        "reward.moment": "at_update",
        "replay.expert_batch_size": 0,  # as many as the agent's
        "replay.capacity": 1_000_000,
    },
    # Behaviour cloning: 55,000 updates and nothing played; frames are those that go with as many updates.
    "bc": {
        "num_frames": 220_000,
        "agent.random_steps": 0,
        "agent.first_update_step": 0,
        "replay.capacity": 1,
    },
    # Behavioural cloning from observation: a model of inverse dynamics says what the expert did. Steps one by one.
    "bco": {"replay.n_step": 1},
    # ROT: behaviour cloning first, then optimal-transport rewards; no random exploration.
    "rot": {
        "cloning.pretraining_updates": 55_000,
        "cloning.schedule": "soft_q_filter",
        "agent.random_steps": 0,
        "agent.std_initial": 0.1,
        "agent.std_final": 0.1,
    },
    # DrQ-v2 with the task's own reward: the expert, and the upper bound of the imitators.
    "drqv2": {},
    # DrQ-v2 from the physics' features with the task's own reward, an hour on one CPU core. walker_walk, seed 0: 960 at
    # the end; without the penalty on preactivations the actor saturates, and the return is 33 after 30,000 frames.
    "drqv2_features": {
        "num_frames": 400_000,
        "env.observation": "features",
        "env.frame_stack": 1,
        "replay.batch_size": 128,
        "replay.expert_batch_size": 128,
        "replay.capacity": 200_000,  # the whole run
        "replay.n_step": 1,
        "agent.critic_learning_rate": 1e-3,
        "agent.actor_learning_rate": 3e-4,
        "agent.preactivation_penalty": 0.03,
        "agent.decay.start": 130_000,
        "agent.decay.updates": 65_000,
        "agent.decay.final": 0.05,
        "agent.std_duration": 30_000,
        "agent.random_steps": 500,
        "agent.first_update_step": 1_000,
        "agent.steps_per_update": 1,
        "network.precision": "float32",
        "network.hidden_size": 256,
    },
}

# Every departure of PatchAIL's authors' program from its paper: for all methods, for some, and for some tasks.
_PUBLISHED: Mapping[str, Value] = {
    "num_frames": 1_806_000,
    "reward.moment": "at_episode_end",
    "reward.order": "aggregation_first",
    "discriminator.agent_successor": "n_step",
    "discriminator.penalty_groups": "channels",
    "similarity.expert": "mean_scores",
    "similarity.expert_pairs": "trajectory",
    "similarity.agent_pairs": "window",
    "network.precision": "float32",
}
_PUBLISHED_METHODS: Mapping[str, Mapping[str, Value]] = {
    # Features are penalised by samples there too: the oversight is with images alone.
    "shared_encoder_ail": {"discriminator.agent_views": "learner", "discriminator.penalty_groups": "samples"},
    "independent_encoder_ail": {"discriminator.penalty_groups": "samples"},
    "bc": {"num_frames": 220_000, "agent.shift_pad": 0},
    "rot": {
        "num_frames": 1_101_000,
        "optimal_transport.features": "trunk",
        "optimal_transport.first_observation": True,
        "optimal_transport.filter_features": "reference",
        "optimal_transport.target_steps": 10_000,
    },
}
_PUBLISHED_WALKERS: Mapping[str, Value] = {
    "replay.n_step": 1,
    "replay.batch_size": 512,
    "replay.expert_batch_size": 256,
}
# LAIfO's own published program. Demonstrations must be recorded at its action repeat: the shipped ones are at 2.
_PUBLISHED_LAIFO: Mapping[str, Value] = {"env.action_repeat": 1, "network.precision": "float32"}
_PUBLISHED_LAIFO_WALKERS: Mapping[str, Value] = {**_PUBLISHED_WALKERS, "replay.expert_batch_size": 0}
# Steps over which exploration falls, by how hard the task is (DrQ-v2, its experts, and LAIfO).
_EXPLORATION: Mapping[str, int] = {
    **dict.fromkeys(("cartpole_swingup", "finger_spin", "hopper_stand", "walker_stand", "walker_walk"), 100_000),
    **dict.fromkeys(("cheetah_run", "quadruped_run", "walker_run"), 500_000),
    **dict.fromkeys(("humanoid_run", "humanoid_stand", "humanoid_walk"), 2_000_000),
}


def published(task: str, method: str) -> Mapping[str, Value]:
    """The fields in which the method's published program (PatchAIL's authors', or LAIfO's) differs from the preset."""
    own = method == "laifo"
    fields = dict(_PUBLISHED_LAIFO) if own else {**_PUBLISHED, **_PUBLISHED_METHODS.get(method, {})}
    if task.startswith("walker_"):
        fields |= _PUBLISHED_LAIFO_WALKERS if own else _PUBLISHED_WALKERS
    if method in ("drqv2", "laifo") and task in _EXPLORATION:
        fields["agent.std_duration"] = _EXPLORATION[task]
    return fields


# A task at small size, for one CPU core: small pictures, networks and batches, and 80,000 steps.
_SMALL: Mapping[str, Value] = {
    "num_frames": 160_000,
    "env.image_size": 32,
    "env.frame_stack": 2,
    "env.quality": "fast",
    "replay.capacity": 80_000,
    "replay.batch_size": 128,
    "replay.expert_batch_size": 128,
    "agent.critic_learning_rate": 1e-3,
    "agent.actor_learning_rate": 3e-4,
    "agent.decay.start": 28_000,
    "agent.decay.updates": 10_000,
    "agent.decay.final": 0.05,
    "agent.target_rate": 0.02,
    "agent.std_duration": 100_000,
    "agent.shift_pad": 1,
    "agent.random_steps": 2_000,
    "agent.first_update_step": 3_000,
    "network.precision": "float32",
    "network.encoder_channels": 16,
    "network.hidden_size": 256,
    "evaluation.every_frames": 20_000,
    "evaluation.episodes": 3,
    "log.films": False,
    "log.wandb_mode": "disabled",
    "checkpoint.every_frames": 20_000,
    "checkpoint.keep": 1,
}
# Rewards are stored and scored anew now and then: at each update they would cost more than the update.
_SMALL_ADVERSARIAL: Mapping[str, Value] = {
    "replay.expert_batch_size": 16,
    "replay.rescore_updates": 2_000,
    "reward.moment": "at_episode_end",
    "reward.scale": 0.5,
    "similarity.agent_pairs": "window",
    "discriminator.channels": 8,
    "discriminator.augmentation_pad": 2,
    # As steep for the mean logit of 169 patches at 32 pixels as 255 is for the paper's 1,521 patches at 84. At 28 the
    # agent of finger_spin holds the expert's pose and does not spin: a pose changes more pixels than a spin.
    "discriminator.penalty_pixel_scale": 75.0,
    "discriminator.decay.start": 28_000,
    "discriminator.decay.updates": 10_000,
    "discriminator.decay.final": 0.05,
}
# With the larger rewards of -W and -B the actor saturates for good at the others' rate.
_SMALL_REGULARISED: Mapping[str, Value] = {**_SMALL_ADVERSARIAL, "agent.actor_learning_rate": 1e-4}
_SMALL_METHODS: Mapping[str, Mapping[str, Value]] = {
    "patchail_w": _SMALL_REGULARISED,
    "patchail_b": _SMALL_REGULARISED,
    # Without it the actor saturates within 1,000 updates: cartpole_swingup has 14% of the expert's return, not 59%.
    "drqv2": {"agent.preactivation_penalty": 0.03},
    # At the others' rate, its actor had a gradient of 0 from update 3,500 on.
    "laifo": {
        "replay.expert_batch_size": 0,
        "agent.actor_learning_rate": 1e-4,
        "agent.preactivation_penalty": 0.01,
    },
    "bco": {},
    "bc": {
        "num_frames": 40_000,
        "replay.capacity": 1,
        "agent.random_steps": 0,
        "agent.first_update_step": 0,
    },
    # Rewards of about -0.02 a step are small beside the penalty, which draws the actions to 0 (0.09 in the mean, else
    # 0.59): with it walker_walk falls from 130 after the cloning to 20 and cheetah_run from 131 to 37, without it they
    # come to 350 and 234.
    "rot": {
        "agent.random_steps": 0,
        "agent.first_update_step": 750,
        "agent.preactivation_penalty": 0.0,
        "cloning.pretraining_updates": 5_000,
    },
}


# Where the camera follows the robot. Without the penalty PatchAIL's actor saturates there too; with noise that falls
# over 100,000 steps the walker does not stand in 20,000 of them.
_SMALL_FOLLOWED: Mapping[str, Value] = {"agent.preactivation_penalty": 0.03, "agent.std_duration": 30_000}
# Their penalty_pixel_scale. At 255 the walker's discriminator is so sure (+3.2 and -4.2 after 5,000 updates) that the
# agent does not learn; at 28 the cheetah's and the quadruped's come to less than 0.1 after 3,000.
_FOLLOWED: Mapping[str, float] = {
    **dict.fromkeys(("hopper_stand", "walker_stand", "walker_walk"), 28.0),
    **dict.fromkeys(("cheetah_run", "quadruped_run"), 255.0),
}


def small(task: str, method: str) -> Mapping[str, Value]:
    """``task`` at small size for ``method``: the same constants for all tasks, except where the camera follows the
    robot, the walkers' n-step return (as the published program has it), and the cheetah's action repeat with the
    discount that looks as far ahead in time. The penalty's scale where the camera follows is one of two.
    """
    if method == "drqv2_features":
        return {}  # small as it is
    followed = task in _FOLLOWED
    fields = {
        **_SMALL, **(_SMALL_FOLLOWED if followed else {}), **_SMALL_METHODS.get(method, _SMALL_ADVERSARIAL)
    }  # fmt: skip
    if followed and "discriminator.penalty_pixel_scale" in fields:
        fields["discriminator.penalty_pixel_scale"] = _FOLLOWED[task]
    if task.startswith("walker_"):
        fields["replay.n_step"] = 1
    if task == "cheetah_run" and method not in ("bc", "rot"):  # their expert's actions are known at repeat 2 alone
        fields |= {"env.action_repeat": 4, "agent.discount": 0.98, "num_frames": 320_000}
    return fields


VARIANTS: Mapping[str, Callable[[str, str], Mapping[str, Value]]] = {"published": published, "small": small}
