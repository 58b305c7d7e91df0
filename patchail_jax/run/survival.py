"""Whether a reward of one sign meets episodes that end before their time.

A reward that is never negative pays for every step that is lived through, and one that is never positive for ending it
all: by itself, whatever the discriminator has learned (Kostrikov et al. 2019). Where all episodes are equally long it
does not matter.
"""

import logging
from typing import Any

from patchail_jax.equations.patch_reward import NEVER_NEGATIVE, NEVER_POSITIVE
from patchail_jax.types import Episode

_log = logging.getLogger(__name__)


class Survival:
    """Warns once, of the first episode that ends before its time; ``reward`` is ``config.reward``."""

    def __init__(self, reward: Any) -> None:
        signs = (reward.form in NEVER_NEGATIVE) - (reward.form in NEVER_POSITIVE)
        self._sign = signs if reward.scale > 0 else -signs if reward.scale < 0 else 0
        self._form, self._said = reward.form, False

    def add(self, episode: Episode) -> None:
        """Takes in a finished training episode."""
        if self._said or not self._sign or episode.discounts[-1] > 0:
            return
        self._said = True
        _log.warning(
            "an episode terminated after %d steps, and rewards of config.reward.form=%s are never %s: the "
            "agent is rewarded for %s, whatever the expert does. Use config.reward.form=airl, which has both signs",
            len(episode.actions),
            self._form,
            "negative" if self._sign > 0 else "positive",
            "staying alive" if self._sign > 0 else "ending episodes",
        )
