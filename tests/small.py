"""A method and batches small enough for tests, with every setting spelled out."""

from typing import Any

import numpy as np

from patchail_jax.methods import METHODS, Method
from patchail_jax.types import AgentBatch, Batch, ExpertBatch, Specs

SPECS = Specs(image_size=24, frame_stack=2, action_size=2, n_step=3)


def groups_of(name: str = "patchail", **overrides: Any) -> dict[str, dict[str, Any]]:
    """The config's groups for a method with tiny networks; overrides are named ``group__field``."""
    groups: dict[str, dict[str, Any]] = {
        "agent": {
            "optimizer": "adam",
            "critic_learning_rate": 1e-3,
            "actor_learning_rate": 1e-3,
            "decay": {"start": 0, "updates": 0, "final": 0.0},
            "discount": 0.99,
            "target_rate": 0.01,
            "std_initial": 1.0,
            "std_final": 0.1,
            "std_duration": 100,
            "noise_clip": 0.3,
            "preactivation_penalty": 0.0,
            "shift_pad": 2,
            "random_steps": 4,
            "first_update_step": 10,
            "steps_per_update": 2,
        },
        "network": {
            "precision": "float32",
            "encoder_channels": 4,
            "feature_size": 8,
            "hidden_size": 16,
            "trunk": "own",
        },
        "transformer": {"patch_size": 8, "width": 8, "depth": 1, "heads": 2},
        "discriminator": {
            "architecture": "convolutional",
            "kernel_size": 3,
            "channels": 4,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "decay": {"start": 0, "updates": 0, "final": 0.0},
            "penalty_weight": 10.0,
            "penalty_of": "logit",
            "penalty_groups": "samples",
            "penalty_pixel_scale": 255.0,
            "augmentation": "random_shift",
            "augmentation_pad": 2,
            "observation": "pair",
            "agent_successor": "one_step",
            "expert_successor": "one_step",
            "agent_views": "own",
        },
        "reward": {
            "form": "airl",
            "aggregation": "mean",
            "order": "form_first",
            "scale": 1.0,
            "moment": "at_update",
            "pairs": "steps",
            "augmented": False,
        },
        "similarity": {
            "regularizer": {"patchail_w": "weight", "patchail_b": "bonus"}.get(name, "none"),
            "scale_initial": 1.0,
            "distribution": "sigmoid",
            "expert": "mean",
            "expert_pairs": "batch",
            "agent_pairs": "steps",
        },
        "cloning": {
            "pretraining_updates": 0,
            "weight_initial": 0.0,
            "weight_final": 0.01,
            "weight_duration": 100,
            "schedule": "soft_q_filter" if name == "rot" else "linear",
            "weight_factor": 0.933,
            "weight_factor_steps": 50,
            "likelihood_scale": 0.03,
            "std": 0.1,
        },
        "optimal_transport": {
            "features": "encoder",
            "first_observation": False,
            "filter_features": "online",
            "epsilon": 0.01,
            "iterations": 100,
            "first_sum": 10.0,
            "target_steps": 20,
        },
    }
    for key, value in overrides.items():
        group, field = key.split("__")
        assert field in groups[group]
        groups[group][field] = value
    return groups


def make_method(name: str = "patchail", *, specs: Specs = SPECS, **overrides: Any) -> Method:
    """Any method with tiny networks, by ``groups_of``."""
    return METHODS[name](specs, groups_of(name, **overrides))


# What LAIfO changes of the above; each is an ablation on its own.
LAIFO = {
    "network__trunk": "shared",
    "discriminator__penalty_of": "probability",
    "discriminator__agent_successor": "n_step",
    "discriminator__expert_successor": "n_step",
    "reward__form": "mode",
    "reward__pairs": "window",
    "reward__augmented": True,
}


def make_batch(
    seed: int = 0,
    *,
    batch: int = 8,
    expert: int = 4,
    demonstration: int = 0,
    specs: Specs = SPECS,
    expert_steps: int = 1,
) -> Batch:
    """A random global batch without device axes; states of the expert's pairs are ``expert_steps`` apart."""
    rng = np.random.default_rng(seed)
    side = specs.image_size

    def pixels(count: int, length: int) -> np.ndarray:
        if specs.feature_count:
            return rng.normal(size=(count, length, specs.feature_count)).astype(np.float32)
        return rng.integers(0, 256, (count, length, side, side, 3), dtype=np.uint8)

    return Batch(
        AgentBatch(
            pixels(batch, specs.frame_stack + specs.n_step),
            rng.uniform(-1, 1, (batch, specs.action_size)).astype(np.float32),
            rng.normal(size=(batch, specs.n_step)).astype(np.float32),
            np.ones((batch, specs.n_step), np.float32),
        ),
        ExpertBatch(
            pixels(expert, specs.frame_stack + expert_steps),
            rng.uniform(-1, 1, (expert, specs.action_size)).astype(np.float32),
        ),
        pixels(demonstration, specs.frame_stack + 1),
        np.arange(batch, dtype=np.int32),
        np.arange(expert, dtype=np.int32),
    )


def for_devices(batches: list[Batch], devices: int) -> Batch:
    """K global batches as leaves ``[N,K,B/N,...]``."""
    import jax

    def arrange(*leaves: np.ndarray) -> np.ndarray:
        whole = np.stack(leaves)
        split = whole.reshape(len(leaves), devices, -1, *whole.shape[2:])
        return np.ascontiguousarray(split.swapaxes(0, 1))

    return jax.tree.map(arrange, *batches)
