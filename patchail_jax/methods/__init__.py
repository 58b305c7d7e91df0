"""The methods by name: ``METHODS[name](specs, config)``, the config's groups as plain dicts."""

from collections.abc import Callable

from patchail_jax.methods import bc, bco, drqv2, encoder_ail, patchail, rot
from patchail_jax.methods.method import Config, Method
from patchail_jax.types import Specs

METHODS: dict[str, Callable[[Specs, Config], Method]] = {
    "drqv2": drqv2.make,
    "drqv2_features": drqv2.make,
    "patchail": patchail.make,
    "patchail_w": patchail.make,
    "patchail_b": patchail.make,
    "shared_encoder_ail": encoder_ail.make_shared,
    "independent_encoder_ail": encoder_ail.make_independent,
    "laifo": encoder_ail.make_shared,
    "bc": bc.make,
    "bco": bco.make,
    "rot": rot.make,
}

__all__ = ["METHODS", "Method"]
