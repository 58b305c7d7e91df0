"""The paper's tables and figures, comparisons beyond them, and the small benchmark; ``SWEEPS`` has them by name."""

from patchail_jax.launch.sweeps.sweep import Grid, Value

TASKS = ("cartpole", "cheetah", "finger", "hopper", "walker_stand", "walker_walk", "quadruped")
ABLATION_TASKS = ("finger", "cheetah")  # Section 5.3
PATCH_METHODS = ("patchail", "patchail_w", "patchail_b")
ENCODER_METHODS = ("shared_encoder_ail", "independent_encoder_ail")
ADVERSARIAL_METHODS = PATCH_METHODS + ENCODER_METHODS
# The small benchmark's, in the order of how soon they are to be seen.
SMALL_TASKS = ("finger", "cartpole", "walker_stand", "hopper", "walker_walk", "cheetah", "quadruped")
SMALL_SEEDS = (0, 1, 2)
SMALL_OTHERS_TASKS = ("finger", "cartpole", "walker_walk", "cheetah")
SMALL_OTHERS = ("patchail_w", "patchail_b", *ENCODER_METHODS, "bc", "rot", "laifo", "bco")
ONE_PROCESS = ("rot",)  # methods that cannot train across several
CHALLENGERS = (*PATCH_METHODS, "shared_encoder_ail", "laifo", "bco")


def _ablation(
    tasks: tuple[str, ...], methods: tuple[str, ...], variants: dict[str, dict[str, Value]]
) -> tuple[Grid, ...]:
    """One grid a variant, which is a label and the overrides it stands for."""
    return tuple(Grid(tasks, methods, overrides=overrides, label=label) for label, overrides in variants.items())


SWEEPS: dict[str, tuple[Grid, ...]] = {
    # Table 1 and the learning curves of Figure 4; the expert's row is in the demonstrations.
    "table1": (Grid(TASKS, (*ADVERSARIAL_METHODS, "bc")),),
    "figure6a": _ablation(
        ABLATION_TASKS,
        ("patchail",),
        {name: {"reward.aggregation": name} for name in ("mean", "max", "min", "median")},
    ),
    "figure6b": _ablation(
        ABLATION_TASKS,
        ("patchail",),
        {f"kernel_{size}": {"discriminator.kernel_size": size} for size in (1, 2, 3, 4, 5, 8)},
    ),
    # Appendix B.1 does not name its tasks: those of the other ablations.
    "figure7": _ablation(
        ABLATION_TASKS,
        ("patchail", "shared_encoder_ail"),
        {name: {"discriminator.observation": name} for name in ("pair", "single")},
    ),
    "figure8": (Grid(TASKS, (*ADVERSARIAL_METHODS, "bc"), overrides={"demos.num_demonstrations": 5}),),
    # ROT brings its own cloning.
    "figure9": (
        Grid(TASKS, ADVERSARIAL_METHODS, overrides={"demos.num_demonstrations": 1, "cloning.weight_initial": 1.0}),
        Grid(TASKS, ("rot",), overrides={"demos.num_demonstrations": 1}),
    ),
    "figure10": _ablation(
        ("finger",),
        ADVERSARIAL_METHODS,
        {
            name: {"discriminator.augmentation": name}
            for name in ("random_shift", "random_erasing", "random_resized_crop", "rand_augment")
        },
    ),
    # Every task, one CPU core a run, in order of worth, for a sweep that may be stopped at any time.
    "small": (
        Grid(SMALL_TASKS, ("patchail",), seeds=SMALL_SEEDS, variant="small"),
        Grid(SMALL_TASKS, ("drqv2",), seeds=SMALL_SEEDS, variant="small"),
        Grid(SMALL_OTHERS_TASKS, SMALL_OTHERS, seeds=SMALL_SEEDS, variant="small"),
    ),
    # PatchAIL and what it is compared with. The shipped files have 10 demonstrations; those of 100 are made beforehand:
    # patchail demos record runs/finger_spin/drqv2/seed_0 demonstrations/finger.npz --episodes 100
    "challengers": (
        Grid(TASKS, CHALLENGERS, overrides={"demos.num_demonstrations": 10}, label="demonstrations_10"),
        *(
            Grid(
                (task,),
                CHALLENGERS,
                overrides={"demos.num_demonstrations": 100, "demos.path": f"demonstrations/{task}.npz"},
                label="demonstrations_100",
            )
            for task in TASKS
        ),
    ),
    # Small enough for a laptop: what the quickstart learns, by three seeds.
    "quickstart": (Grid(("quickstart",), ("patchail",), seeds=(0, 1, 2)),),
}
