"""The warning of rewards that pay for staying alive."""

import logging

import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from patchail_jax.equations.patch_reward import NEVER_NEGATIVE, NEVER_POSITIVE, REWARD_FORMS
from patchail_jax.run.survival import Survival
from patchail_jax.types import Episode


def episode(last_discount):
    discounts = np.ones(5, np.float32)
    discounts[-1] = last_discount
    return Episode(np.zeros((6, 2, 2, 3), np.uint8), np.zeros((5, 1), np.float32), np.zeros(5, np.float32), discounts)


@pytest.mark.parametrize(
    ("form", "scale", "said"),
    [
        ("mode", 1.0, "after 5 steps, and rewards of config.reward.form=mode are never negative: the agent is "
                      "rewarded for staying alive"),
        ("gail", 0.5, "form=gail are never negative: the agent is rewarded for staying alive"),
        ("gail_log_d", 1.0, "are never positive: the agent is rewarded for ending episodes"),
        ("mode", -1.0, "are never positive: the agent is rewarded for ending episodes"),
        ("airl", 1.0, None),
        ("mode", 0.0, None),
    ],
)  # fmt: skip
def test_the_first_episode_that_ends_early_is_warned_of_once(form, scale, said, caplog):
    survival = Survival(ConfigDict({"form": form, "scale": scale}))
    with caplog.at_level(logging.WARNING):
        survival.add(episode(1.0))
        assert not caplog.messages
        survival.add(episode(0.0))
        survival.add(episode(0.0))
    assert len(caplog.messages) == (said is not None)
    assert said is None or said in caplog.messages[0]


def test_the_signs_are_the_forms_own():
    logits = jnp.linspace(-8, 8, 33)
    for name, form in REWARD_FORMS.items():
        rewards = np.asarray(form(logits))
        assert (rewards.min() >= 0) == (name in NEVER_NEGATIVE) and (rewards.max() <= 0) == (name in NEVER_POSITIVE)
