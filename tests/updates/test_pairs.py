"""Pairs by the numbers of their frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from patchail_jax.types import Specs
from patchail_jax.updates.augmentation import random_shift
from patchail_jax.updates.pairs import make_pairs
from patchail_jax.updates.prepare_batch import sample_keys, stack_at
from tests.small import make_batch

SPECS = Specs(image_size=2, frame_stack=2, action_size=1, n_step=3)
FRAMES = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, None, None, None], (5, 2, 2, 3))


def pairs(observation, **changed):
    fields = {"augmentation": "none", "augmentation_pad": 0, "agent_successor": "one_step", **changed}
    return make_pairs(SPECS, observation=observation, **fields)


def seen(inputs):
    """The frames of each input, by number, oldest first."""
    return np.asarray(inputs)[:, 0, 0, ::3].tolist()


@pytest.mark.parametrize(("observation", "first"), [("pair", 0), ("single", 2)])
def test_a_pair_is_s_and_its_successor_and_a_single_one_the_successor_alone(observation, first):
    made = pairs(observation)
    assert seen(made.at(FRAMES[None], 0)) == [[0, 1, 1, 2][first:]]
    assert seen(made.at(FRAMES[None], 0, 3)) == [[0, 1, 3, 4][first:]]
    wanted = [[0, 1, 1, 2][first:], [1, 2, 2, 3][first:], [2, 3, 3, 4][first:]]
    assert seen(made.of_episode(FRAMES)) == wanted
    assert [seen(state) for state in made.states(FRAMES[None], (0, 3))] == [[[0, 1]], [[3, 4]]]
    windows = pairs(observation, by_window=True)
    assert windows.reach == 3 and seen(windows.of_episode(FRAMES)) == [[0, 1, 3, 4][first:]]


def test_states_are_augmented_each_by_its_own_key():
    made = pairs("pair", augmentation="random_shift", augmentation_pad=1)
    frames = np.random.default_rng(0).integers(0, 256, (4, 5, 2, 2, 3), dtype=np.uint8)
    keys, index = jax.random.split(jax.random.PRNGKey(0)), jnp.arange(4)
    for number, state in enumerate(made.states(frames, (1, 1), keys, index)):
        wanted = random_shift(sample_keys(keys[number], index), stack_at(frames, 1, 2), pad=1)
        np.testing.assert_array_equal(state, wanted)
    one, other = made.states(frames, (1, 1), keys, index)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("expert", ["one_step", "n_step"])
@pytest.mark.parametrize("agent", ["one_step", "n_step"])
def test_successors_of_agent_and_expert_are_chosen_apart(agent, expert):
    steps = {"one_step": 1, "n_step": 3}
    made = pairs("pair", agent_successor=agent, expert_successor=expert)
    batch = make_batch(specs=SPECS, expert_steps=steps[expert])
    batch = jax.tree.map(jnp.asarray, batch)
    found = made.for_update(batch, *jnp.zeros((2, 2, 2), jnp.uint32), jnp.zeros(2, jnp.uint32))
    np.testing.assert_array_equal(found["expert"], made.at(batch.expert.frames, 0, steps[expert]))
    np.testing.assert_array_equal(found["agent"], made.at(batch.agent.frames[::2], 0, steps[agent]))
