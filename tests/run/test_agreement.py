"""Processes with other configs do not train together."""

import logging

import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.run.agreement import require_same_config, require_same_renderer
from patchail_jax.run.config import paper_config


class Two:
    """What a process of two sees; the other one has another config, or says another number."""

    processes, process = 2, 0

    def __init__(self, other):
        self.other, self.said = other, []

    def gather(self, numbers):
        self.said.append(np.asarray(numbers))
        if not self.other:
            return np.stack([self.said[-1]] * 2)
        return np.stack([self.said[-1], self.other.said[len(self.said) - 1]])


def config_with(**fields):
    config = paper_config("cheetah_run")
    config.update_from_flattened_dict(fields)
    return config


def meet(one, other):
    """What a process with config ``one`` says of one with config ``other``."""
    there = Two(None)
    require_same_config(other, there)
    require_same_config(one, Two(there))


def test_equal_configs_go_on_whatever_they_say_of_hosts():
    meet(config_with(**{"hosts.index": 0}), config_with(**{"hosts.index": 1, "hosts.lost_seconds": 70}))


@pytest.mark.parametrize(
    ("other", "own"),
    [
        ({"seed": 1}, "config.seed=0"),
        ({"agent.discount": 0.9}, "config.agent.discount=0.99"),
        ({"reward.scale": 2.0}, "config.reward.scale=1.0"),
        ({"num_frames": 10}, "config.num_frames=1000000"),
        ({"checkpoint.every_frames": 7}, "config.checkpoint.every_frames=100000"),
        ({"seed": 1, "method": "bc"}, "config.method='patchail', config.seed=0"),
        (
            {"seed": 1, "method": "bc", "replay.n_step": 1, "agent.discount": 0.9, "reward.scale": 2.0},
            "config.agent.discount=0.99, config.method='patchail', config.replay.n_step=3, config.reward.scale=1.0 and "
            "1 more",
        ),
    ],
)
def test_another_value_is_named_with_one_s_own(other, own):
    with pytest.raises(UserError, match=f"have different configs; process 0 has {own}: start the same command on all"):
        meet(config_with(), config_with(**other))


def test_another_version_s_fields_are_named_as_such():
    other = config_with()
    with other.unlocked():
        other.reward.colour = "red"
    with pytest.raises(UserError, match="different versions of this program"):
        meet(config_with(), other)


def test_processes_that_draw_by_different_renderers_are_refused_unless_the_config_allows_it(caplog):
    def meet_drawing(one, other, *, may_differ=False):
        there = Two(None)
        require_same_renderer(other, there, may_differ=may_differ)
        require_same_renderer(one, Two(there), may_differ=may_differ)

    meet_drawing("llvmpipe", "llvmpipe")
    meet_drawing(None, None)  # environments that draw by themselves
    for other in ("NVIDIA H100", None):
        with pytest.raises(UserError, match=r"process 0 by llvmpipe: start all on machines of one kind"):
            meet_drawing("llvmpipe", other)
    with caplog.at_level(logging.WARNING):
        meet_drawing("llvmpipe", "NVIDIA H100", may_differ=True)
    assert "different renderers, process 0 by llvmpipe" in caplog.text
