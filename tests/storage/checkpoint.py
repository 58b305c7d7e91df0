"""Checkpoints with known contents."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from patchail_jax.storage.checkpoints import Checkpoints


def make_state(scale=1.0):
    params = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3) * scale, "half": jnp.ones(2, jnp.bfloat16) / 3}}
    return {"params": params, "optimizer": optax.adam(1e-3).init(params), "key": jax.random.PRNGKey(7)}


HOST = {
    "progress": {"update": 2**40 + 1, "hours": 0.1 + 0.2},
    "window": {"names": ["a/b", "c"], "values": np.zeros((0, 2), np.float32)},
    "replay": {"frames": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), "head": 5},
}


def template():
    return jax.device_get(make_state(0.0))


def assert_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def contents_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(folder):
    for file in (folder / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")


def two(folder):
    checkpoints = Checkpoints(folder, keep=3)
    for step in (1, 2):
        checkpoints.save(step, state=make_state(step), host=HOST)
    return contents_of(folder.parent)
