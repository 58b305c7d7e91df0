"""What the colours of maps are said to mean."""

import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.equations.patch_reward import REWARD_FORMS
from patchail_jax.maps.kinds import KINDS, meaning


@pytest.mark.parametrize("form", REWARD_FORMS)
def test_red_is_said_to_be_expert_like_where_rewards_rise_above_0_for_the_expert(form):
    rewards = np.asarray(REWARD_FORMS[form](jnp.linspace(-0.9, 3, 101, dtype=jnp.float32)))
    rises = bool((np.diff(rewards) >= 0).all() and rewards.max() > 0)
    for kind in ("patch_rewards", "weighted"):
        assert ("red is expert-like" in meaning(kind, ["airl", form])) == rises
    assert all(meaning(kind, [form]) == KINDS[kind] for kind in ("attention", "gradcam"))
