"""From patch logits to rewards (paper, Eq. 5): the h and the Aggr of ``config.reward``, and when they are made."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from patchail_jax.equations.aggregation import AGGREGATIONS
from patchail_jax.equations.patch_reward import REWARD_FORMS
from patchail_jax.errors import UserError, choose
from patchail_jax.methods.method import SubConfig


class Reward(NamedTuple):
    """Eq. 5. ``at_update``: of the sampled windows at every update; else once, when an episode ends.

    ``every_step`` of a window has its reward, by its own pair; else there is one a window, by the pair of its ends.
    What is judged at an update is ``augmented`` or not.
    """

    of_patches: Callable[[jax.Array], jax.Array]  # logits [...,P,P] to scaled patch rewards [...,P,P]
    of: Callable[[jax.Array], jax.Array]  # logits [...,P,P] to rewards [...]
    at_update: bool
    every_step: bool
    augmented: bool


def is_every_step(config: SubConfig) -> bool:
    """Whether each step of a window has its reward, by ``config.reward.pairs``."""
    return choose({"steps": True, "window": False}, config["pairs"], field="reward.pairs")


def make_reward(config: SubConfig) -> Reward:
    """By ``config.reward``; ``UserError`` names a field that does not exist."""
    form, scale = choose(REWARD_FORMS, config["form"], field="reward.form"), config["scale"]
    aggregate = choose(AGGREGATIONS, config["aggregation"], field="reward.aggregation")
    orders = {
        "form_first": lambda logits: aggregate(scale * form(logits)),
        "aggregation_first": lambda logits: scale * form(aggregate(logits)),
    }
    at_update = choose({"at_update": True, "at_episode_end": False}, config["moment"], field="reward.moment")
    every_step, augmented = is_every_step(config), bool(config["augmented"])
    if not at_update and (augmented or not every_step):
        raise UserError(
            "config.reward.pairs=window and config.reward.augmented are for rewards made at an update: "
            "set config.reward.moment=at_update"
        )
    return Reward(
        lambda logits: scale * form(logits),
        choose(orders, config["order"], field="reward.order"),
        at_update,
        every_step,
        augmented,
    )
