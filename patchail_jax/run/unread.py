"""Fields that a config's method does not read: whoever sets one by a flag is told that it changes nothing."""

from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from patchail_jax.storage.run_config import flatten, is_among


def _of(group: str, *fields: str) -> tuple[str, ...]:
    return tuple(f"{group}.{field}" for field in fields)


_SIMILARITY = _of("similarity", "scale_initial", "distribution", "expert", "expert_pairs", "agent_pairs")
_CONVOLUTIONS = _of("discriminator", "kernel_size", "channels")
_PATCHES = (*_CONVOLUTIONS, *_of("discriminator", "architecture", "penalty_pixel_scale"), "transformer", *_SIMILARITY)
_JUDGED = ("discriminator", "transformer", "similarity")
_TERM = _of("cloning", "weight_final", "weight_duration", "weight_factor", "weight_factor_steps", "likelihood_scale")
_LEARNED = _of("agent", "critic_learning_rate", "discount", "target_rate", "noise_clip", "preactivation_penalty")
_NOISE = _of("agent", "std_initial", "std_final", "std_duration", "random_steps")
_OF_REWARDS = _of("reward", "form", "aggregation", "order", "moment", "pairs", "augmented")

_PATCHAIL = ("optimal_transport",)
_ENCODER_AIL = (*_PATCHES, "optimal_transport")
_BCO = (*_JUDGED, "reward", "optimal_transport", *_TERM, *_LEARNED)
_DRQV2 = (*_JUDGED, *_OF_REWARDS, "optimal_transport", *_TERM, "cloning.std")
# Fields and groups, by method.
_UNREAD: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("patchail", "patchail_w", "patchail_b"), _PATCHAIL),
    **dict.fromkeys(("shared_encoder_ail", "independent_encoder_ail", "laifo"), _ENCODER_AIL),
    **dict.fromkeys(("drqv2", "drqv2_features"), _DRQV2),
    "bc": (*_BCO, *_NOISE),
    "bco": _BCO,
    "rot": (*_JUDGED, "reward"),
}
# Fields and groups that go unread while others have these values.
_UNREAD_WHILE: tuple[tuple[Mapping[str, Any], tuple[str, ...]], ...] = (
    ({"similarity.regularizer": "none"}, _SIMILARITY),
    ({"discriminator.architecture": "convolutional"}, ("transformer",)),
    ({"discriminator.architecture": "transformer"}, _CONVOLUTIONS),
    ({"cloning.schedule": "linear", "cloning.weight_initial": 0.0}, _TERM),
    ({"cloning.schedule": "linear"}, _of("cloning", "weight_factor", "weight_factor_steps")),
    ({"cloning.schedule": "exponential"}, _of("cloning", "weight_final", "weight_duration")),
    ({"cloning.schedule": "soft_q_filter"}, _TERM[:-1]),
    ({"agent.decay.updates": 0}, _of("agent.decay", "start", "final")),
    ({"discriminator.decay.updates": 0}, _of("discriminator.decay", "start", "final")),
    ({"env.look": "none"}, ("env.look_size",)),
)


def unread(config: ConfigDict, fields: Iterable[str]) -> dict[str, str]:
    """Those of the dotted ``fields`` that the config's method does not read, and a line that says so and why."""
    values = flatten(config.to_dict())
    found: dict[str, str] = {}
    for field in fields:
        if is_among(_UNREAD.get(config.method, ()), field):
            found[field] = f"config.{field} changes nothing: {config.method} does not read it"
            continue
        for others, names in _UNREAD_WHILE:
            if is_among(names, field) and others.items() <= values.items():
                why = " and ".join(f"{key}={value}" for key, value in others.items())
                found[field] = f"config.{field} changes nothing: it is not read with {why}"
    return found
