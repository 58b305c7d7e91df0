"""No two random draws of an update, or of two updates, share a key; and a draw is its sample's, wherever it lies."""

import jax
import numpy as np

from patchail_jax.methods import drqv2
from patchail_jax.updates import pairs, prepare_batch
from tests.methods.plain_networks import compiled, config_of, make, plain_networks
from tests.methods.test_plain_update import make_pixels

__all__ = ["plain_networks"]


def test_every_draw_has_a_key_of_its_own(plain_networks, monkeypatch):
    seen, sample_keys = [], prepare_batch.sample_keys

    def recording(key, index):
        keys = sample_keys(key, index)
        jax.debug.callback(lambda keys: seen.append(np.asarray(keys)), keys)
        return keys

    for module in (pairs, drqv2, prepare_batch):
        monkeypatch.setattr(module, "sample_keys", recording)
    monkeypatch.setattr(drqv2, "sample_normal", prepare_batch.sample_normal)
    method = make(config_of("patchail", cloning__weight_initial=0.5))
    update = compiled(method.update)

    def draws(state, batch):
        seen.clear()
        after, _ = update(state, batch)
        jax.effects_barrier()
        return after, {tuple(row) for keys in seen for row in keys.reshape(-1, 2)}, len(seen)

    state, batch = method.init(jax.random.PRNGKey(0)), make_pixels(0)
    after, first, times = draws(state, batch)
    # s and s' of 4 pairs of either, 4 places of the penalty; s, s' and two noises of 8 windows; 4 clones.
    assert times == 10 and len(first) == 4 * 5 + 8 * 4 + 4
    _, again, _ = draws(state, batch)
    _, second, _ = draws(after, batch)
    elsewhere = batch._replace(sample_index=batch.sample_index + 50, expert_index=batch.expert_index + 50)
    _, others, _ = draws(state, elsewhere)
    _, of_other_seed, _ = draws(method.init(jax.random.PRNGKey(1)), batch)
    assert again == first
    assert not (first & second or first & others or first & of_other_seed)
