"""From patch logits to rewards (paper, Eq. 5): the h and the Aggr of ``config.reward``, and when they are made."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from patchail_jax.equations.aggregation import AGGREGATIONS
from patchail_jax.equations.patch_reward import REWARD_FORMS
from patchail_jax.errors import choose
from patchail_jax.methods.method import SubConfig


class Reward(NamedTuple):
    """Eq. 5. ``at_update``: of the sampled windows at every update; else once, when an episode ends."""

    of_patches: Callable[[jax.Array], jax.Array]  # logits [...,P,P] to scaled patch rewards [...,P,P]
    of: Callable[[jax.Array], jax.Array]  # logits [...,P,P] to rewards [...]
    at_update: bool


def make_reward(config: SubConfig) -> Reward:
    """By ``config.reward``; ``UserError`` names a field that does not exist."""
    form, scale = choose(REWARD_FORMS, config["form"], field="reward.form"), config["scale"]
    aggregate = choose(AGGREGATIONS, config["aggregation"], field="reward.aggregation")
    orders = {
        "form_first": lambda logits: aggregate(scale * form(logits)),
        "aggregation_first": lambda logits: scale * form(aggregate(logits)),
    }
    return Reward(
        lambda logits: scale * form(logits),
        choose(orders, config["order"], field="reward.order"),
        choose({"at_update": True, "at_episode_end": False}, config["moment"], field="reward.moment"),
    )
