"""Windows of an episode in replay; every pixel of frame t is t."""

import jax.numpy as jnp
import numpy as np

from patchail_jax.equations.td_target import td_target
from patchail_jax.replay.ring import Ring
from patchail_jax.run.config import paper_config
from patchail_jax.types import Episode, Specs
from tests.parity.golden import EXACT, REPLAY, cases, relative
from tests.parity.program import TASK


def drawn(case):
    """The published program's windows, by our replay, its ring, and how many windows are ours alone."""
    spec, episode = case.spec, Episode(*(case.inputs[field] for field in Episode._fields))
    specs = Specs(episode.frames.shape[1], spec["stack"], spec["actions"], spec["n_step"])
    ring = Ring(capacity=len(episode.frames) + 1, specs=specs)
    ring.add(episode)
    count = len(case["returns_as_stored"])
    return ring.windows(np.arange(count)), ring, len(ring) - count


def returns(windows, next_value):
    """n-step targets ``[B]`` where every next state is worth ``next_value``."""
    values = jnp.full((2, len(windows.actions)), next_value, jnp.float32)
    discount = paper_config(TASK).agent.discount
    return np.asarray(td_target(*map(jnp.asarray, (windows.rewards, windows.discounts)), values, discount=discount))


@cases("replay")
def test_windows_are_the_same(compare, name):
    """After a termination those that begin in its last n - 1 steps are ours alone: nothing comes behind them."""
    case, spec = compare.case, compare.case.spec
    windows, ring, more = drawn(case)
    compare.same("windows beyond the published", more, spec["n_step"] - 1 if spec["terminated"] else 0)
    times = ring.frames[windows.frames][..., 0, 0, 0]
    compare.same("times of observations", times[:, : spec["stack"]], case["observation_times"])
    compare.same("times of successors", times[:, spec["n_step"] :], case["successor_times"])
    compare.value("actions", windows.actions, "actions", EXACT)


@cases("replay")
def test_returns_and_discounts_keep_a_termination_s_zero(compare, name):
    """The published time step makes 1 of it."""
    case = compare.case
    windows, _, _ = drawn(case)
    alone = returns(windows, 0.0)
    discounts = paper_config(TASK).agent.discount ** case.spec["n_step"] * windows.discounts.prod(axis=1)
    compare.value("n-step returns", alone, "returns_if_0_were_stored", REPLAY)
    compare.value("discounts", discounts, "discounts_if_0_were_stored", REPLAY)
    published = case["discounts_as_stored"]
    size = relative(case["discounts_if_0_were_stored"], published)
    error = relative(discounts, published)
    compare.departs("discounts, from a termination's 1", error, size - REPLAY, size + REPLAY)
