"""What the first state of a run takes over from another run: ``config.init_from`` and ``config.init_parts``."""

import logging
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from patchail_jax.devices.data_parallel import fetch
from patchail_jax.errors import UserError, choose
from patchail_jax.methods import Method
from patchail_jax.methods.cloning_weight import is_filtered
from patchail_jax.run.design import action_size_of
from patchail_jax.run.reopened import Trained, open_trained
from patchail_jax.storage.checkpoint_contents import named
from patchail_jax.storage.remote import reading_copy
from patchail_jax.storage.run_config import flatten

_log = logging.getLogger(__name__)

_IMAGES = ("env.image_size", "env.frame_stack", "env.observation")
# What the words of config.init_parts stand for.
PARTS = {"policy": ("encoder", "actor"), "encoder": ("encoder",), "discriminator": ("discriminator",)}


def parts_asked(config: ConfigDict) -> tuple[str, ...]:
    """The parts that are taken over, none without ``config.init_from``; ``UserError`` for one that does not exist."""
    words = config.init_parts.split("+")
    try:
        parts = dict.fromkeys(part for word in words for part in choose(PARTS, word, field="init_parts"))
    except UserError as error:
        raise UserError(f"{error}, or several with + between them") from None
    return tuple(parts) if config.init_from else ()


def refuse_parts(config: ConfigDict, method: Method) -> None:
    """``UserError`` for parts that the method does not have, or that mean nothing without others."""
    parts, judge = parts_asked(config), method.discriminator
    if not config.init_from and config.init_parts != "policy":
        raise UserError("config.init_parts says what is taken over from config.init_from, which is empty: set both")
    if "discriminator" in parts:
        if judge is None:
            raise UserError(f"{config.method} has no discriminator; config.init_parts must not name one")
        if judge.reads == "critic":
            raise UserError(
                f"the discriminator of {config.method} reads features of the critic, which is not taken over: "
                "leave it out of config.init_parts"
            )
        if judge.reads and judge.reads not in parts:
            raise UserError(
                f"the discriminator of {config.method} reads features of the encoder: "
                "set config.init_parts=encoder+discriminator, or policy+discriminator"
            )
    filters = method.needs.actions and method.needs.environment and is_filtered(config.cloning)
    if filters and "actor" not in parts and method.pretrain is None:
        raise UserError(
            "config.cloning.schedule=soft_q_filter weighs by the policy that the run begins with: "
            "set config.init_from to a run of bc, and config.init_parts=policy"
        )


def inherited(config: ConfigDict, method: Method) -> dict[str, Any]:
    """What ``config`` asks for of the newest checkpoint of ``config.init_from``: parts for ``method.init``, in numpy.

    ``UserError``, one line, where there is none, and for a part that is not there or has other sizes.
    """
    location = config.init_from
    try:
        other = open_trained(reading_copy(location))
    except UserError as error:
        raise UserError(
            f"config.init_from must be the folder of another run, with a checkpoint that can be read: {error}"
        ) from error
    shapes = jax.eval_shape(method.init, jax.random.PRNGKey(0))
    first = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    theirs, own = _parts(other.method, fetch(other.state)), _parts(method, first)
    found = {}
    for part in parts_asked(config):
        if part not in theirs:
            raise UserError(f"config.init_from: {other.config.method} in {location} has no {part}")
        have, want = named(theirs[part]), named(own[part])
        if {name: leaf.shape for name, leaf in have.items()} != {name: leaf.shape for name, leaf in want.items()}:
            raise UserError(
                f"config.init_from: the {part} of {location} does not fit this run's: {_apart(part, other, config)}"
            )
        found[part] = theirs[part]
    _log.info("begins with the %s of %s at %d frames", " and ".join(found), location, other.frame)
    return found


def _apart(part: str, other: Trained, config: ConfigDict) -> str:
    """Why a part has other sizes in the ``other`` run, and what to do."""
    theirs, own = flatten(other.config.to_dict()), flatten(config.to_dict())
    there, here = other.specs.action_size, action_size_of(config)
    if part == "actor" and there != here:
        return f"actions have {there} numbers there and {here} here. Take config.init_parts=encoder, or another run"
    groups = ("network.", *(("method", "discriminator.") if part == "discriminator" else ()))
    fields = [field for field in own if field.startswith(groups) or field in _IMAGES]
    apart = [field for field in fields if theirs.get(field) != own[field] and field != "network.precision"]
    found = [f"{field} is {theirs.get(field)!r} there and {own[field]!r} here" for field in apart]
    return f"{', '.join(found) or 'its networks are others'}. Make them equal, or take another run"


def _parts(method: Method, state: Any) -> dict[str, Any]:
    """What of a state may be taken over."""
    judged = {} if method.discriminator is None else {"discriminator": state.discriminator.params}
    return {**method.publish(state), **judged}
