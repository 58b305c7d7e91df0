"""The program, driven as the published one was: a case's sizes, its weights, and its draws in place of random ones."""

import contextlib
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from patchail_jax.methods import Method, drqv2
from patchail_jax.run.config import paper_config
from patchail_jax.run.design import make_method, make_specs
from patchail_jax.types import AgentBatch, Batch, ExpertBatch, Specs
from patchail_jax.updates import augmentation, discriminator
from patchail_jax.updates.augmentation import random_shift
from patchail_jax.updates.gradient_step import DEVICE_AXIS

TASK = "walker_walk"  # any of them: every size of a case is set
METRICS = {
    "classification": "discriminator/classification",
    "penalty": "discriminator/penalty",
    "similarity": "reward/similarity",
    "lambda": "reward/similarity_scale",
    "critic_loss": "critic/loss",
    "critic_target": "critic/target",
    "critic_value": "critic/value",
    "actor_loss": "actor/loss",
    "cloning_weight": "cloning/weight",
    "log_likelihood": "cloning/log_likelihood",
}
LEARNT = ("critic", "target_critic", "actor")


class Built(NamedTuple):
    config: ConfigDict
    specs: Specs
    method: Method


def build(method, spec, **fields):
    """The method ``method`` of the paper's config with the sizes of ``spec`` and ``fields``, named with ``__``."""
    sizes = {
        "env.frame_stack": spec["stack"],
        "replay.n_step": spec.get("n_step", 1),
        "network.feature_size": spec.get("feature", 4),
        "network.hidden_size": spec.get("hidden", 4),
        "network.precision": "float32",
    }
    config = paper_config(TASK, method)
    config.update_from_flattened_dict(sizes | {name.replace("__", "."): value for name, value in fields.items()})
    specs = make_specs(config, spec.get("actions", 2))
    return Built(config, specs, make_method(config, specs))


def default(method, field):
    """``{field: value}`` where nothing is said to be as published; the field's name has ``__``."""
    group, name = field.split("__")
    return {field: paper_config(TASK, method)[group][name]}


def blank_state(method):
    """A state of zeros: nothing is drawn."""
    shapes = jax.eval_shape(method.init, jax.random.PRNGKey(0))
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def on_one_device(function):
    """``function(whole, *shards)`` under the axis of devices, of which there is one: shards have it in front."""
    devices = jax.local_devices()[:1]

    def mapped(whole, *shards):
        return run(len(shards))(whole, *shards)

    @functools.cache
    def run(count):
        return jax.pmap(function, axis_name=DEVICE_AXIS, in_axes=(None, *[0] * count), out_axes=None, devices=devices)

    return mapped


# ---- draws ----


@functools.cache
def shifting_keys(pad):
    """``[2 pad + 1, 2 pad + 1, 2]``: a key with which ``random_shift`` shifts by ``(rows - pad, columns - pad)``."""
    side = 2 * pad + 1
    places = jnp.stack(jnp.meshgrid(*[jnp.arange(side, dtype=jnp.uint8)] * 2, indexing="ij"), axis=-1)
    keys = jax.vmap(jax.random.PRNGKey)(jnp.arange(20 * side**2))
    shift = jax.jit(functools.partial(random_shift, pad=pad))
    shifted = shift(keys, jnp.tile(places, (len(keys), 1, 1, 1)))
    rows, columns = np.asarray(shifted[:, pad, pad]).T  # where the middle pixel came from
    found = np.zeros((side, side, 2), np.uint32)
    found[rows, columns] = keys
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == side**2
    return found


def keys_of(offsets, pad):
    """Keys ``[...,2]`` of ``random_shift`` for offsets ``[...,2]`` in -pad..pad."""
    rows, columns = np.moveaxis(np.asarray(offsets) + pad, -1, 0)
    return jnp.asarray(shifting_keys(pad)[rows, columns])


@contextlib.contextmanager
def handing_out(drawn):
    """What an update draws is the next of ``drawn``; all of it is asked for, or the update is another one.

    Gives the keys that the update itself would have shifted by.
    """
    left, asked = {kind: list(values) for kind, values in drawn.items()}, []

    def shift(keys, stacks, *, pad):
        asked.append(keys)
        return random_shift(left["shift"].pop(0), stacks, pad=pad)

    def interpolate(mix, expert, agent, between=discriminator.interpolate):
        return between(left["mix"].pop(0), expert, agent)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(augmentation.AUGMENTATIONS, "random_shift", shift)
        patch.setattr(drqv2, "sample_normal", lambda key, index, size: left["noise"].pop(0))
        patch.setattr(discriminator, "interpolate", interpolate)
        yield asked
    assert not any(left.values()), f"the update did not draw {left}"


# ---- updates ----


class Training:
    """The updates of a case, one after the other; ``fields`` of the config beside those of the published variant."""

    def __init__(self, case, *, own_views=False, **fields):
        self._case, self._shifts = case, shifts_of(case.spec, "own_" if own_views else "")
        built = build(f"{case.spec['method']}+published", case.spec, **self._optimizers(), **fields)
        self._specs, self._pad = built.specs, built.config.agent.shift_pad
        self._state = self._start = self._begin(blank_state(built.method))
        self._told, self._asked = [], []

        def update(state, batch, drawn):
            with handing_out(drawn) if drawn else contextlib.nullcontext([]) as asked:
                return make_method(built.config, built.specs).update(state, batch), asked

        self._update = on_one_device(update)

    def metrics(self, count):
        """The metrics of the first ``count`` updates by their recorded names, ``{name: [count]}``."""
        while len(self._told) < count:
            number = len(self._told)
            inputs = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (self._batch(number), self._draws(number)))
            # On the host between two updates: an array that lies on devices would be another program's.
            (self._state, told), asked = jax.device_get(self._update(self._state, *inputs))
            self._told.append(told)
            self._asked.append(dict(zip(self._shifts, asked, strict=True)))
        return {
            name: np.array([float(told[metric]) for told in self._told[:count]])
            for name, metric in METRICS.items()
            if metric in self._told[0]
        }

    def shares_views(self):
        """Whether the first update shifted what the discriminator sees of the agent as what the critic sees."""
        self.metrics(1)
        critic, stride = self._asked[0], self._case.spec["batch"] // self._case.spec["experts"]
        views = zip(self._shifts[2:4], ("shift_observation", "shift_next"), strict=True)
        return all(np.array_equal(critic[judged], critic[seen][::stride]) for judged, seen in views)

    def change(self):
        """What every parameter has moved by, by its recorded name."""
        before, after = parameters(self._start), parameters(self._state)
        return jax.tree.map(lambda new, old: np.asarray(new, np.float64) - np.asarray(old, np.float64), after, before)

    def _optimizers(self):
        spec = self._case.spec
        return {
            "agent__optimizer": "sgd",
            "agent__critic_learning_rate": spec["critic_rate"],
            "agent__actor_learning_rate": spec["actor_rate"],
            "discriminator__optimizer": "sgd",
            "discriminator__learning_rate": spec["discriminator_rate"],
            "cloning__pretraining_updates": 0,
            "cloning__weight_initial": float(spec["cloned"]),
        }

    def _begin(self, state):
        """``state`` with the case's weights."""
        case, spec = self._case, self._case.spec
        policy = {"encoder": case.tree("critic")["encoder"], "actor": case.tree("actor")}
        if spec["method"] == "bc":
            return replaced(state, policy=policy)
        learner = {name: case.tree(name) for name in LEARNT}
        learner = replaced(state.learner, update=np.int32(spec["first_update"]), **learner)
        if spec["method"] == "rot":
            return replaced(state, learner=learner, reference=policy | case.tree("reference"))
        return replaced(
            state, learner=learner, discriminator=replaced(state.discriminator, params=case.tree("discriminator"))
        )

    def _batch(self, number):
        a, spec, specs = self._case.inputs, self._case.spec, self._specs
        length = specs.frame_stack + 1
        if spec["method"] == "bc":
            shapes = ((length - 1 + specs.n_step, *specs.frame_shape), (specs.action_size,), *[(specs.n_step,)] * 2)
            types = (np.uint8, np.float32, np.float32, np.float32)
            agent = AgentBatch(*(np.zeros((0, *shape), dtype) for shape, dtype in zip(shapes, types, strict=True)))
        else:
            agent = AgentBatch(*(a[name][number] for name in AgentBatch._fields))
        demonstration = np.zeros((0, length, *specs.frame_shape), np.uint8)
        if spec["demonstration"]:
            shown = a["demonstration"][number]
            demonstration = np.stack([shown[t : t + length] for t in range(spec["demonstration"])])
        expert = ExpertBatch(a["expert_frames"][number], a["expert_actions"][number])
        numbers = (np.arange(len(part.actions), dtype=np.int32) for part in (agent, expert))
        return Batch(agent, expert, demonstration, *numbers)

    def _draws(self, number):
        """In the order in which an update asks for them; behaviour cloning as published asks for none."""
        a, spec = self._case.inputs, self._case.spec
        if spec["method"] == "bc":
            return {}
        return {
            "shift": [keys_of(a[name][number], self._pad) for name in self._shifts],
            "noise": [a["noise_target"][number], a["noise_actor"][number]],
            "mix": [] if spec["method"] == "rot" else [a["mix"][number]],
        }


def shifts_of(spec, views):
    """The names of an update's shifts, in the order in which it asks for them."""
    if spec["method"] == "bc":
        return []
    judged = ["shift_expert", "shift_expert_next", f"{views}shift_agent", f"{views}shift_agent_next"]
    learnt = ["shift_observation", "shift_next"]
    if spec["method"] == "rot":
        return [*learnt, "shift_cloned"]
    return [*judged, *learnt, *["shift_cloned"] * spec["cloned"]]


def parameters(state):
    """The parameters that updates change, by their recorded names."""
    if hasattr(state, "policy"):
        return {"critic": {"encoder": state.policy["encoder"]}, "actor": state.policy["actor"]}
    found = {name: getattr(state.learner, name) for name in LEARNT}
    return found | ({"discriminator": state.discriminator.params} if hasattr(state, "discriminator") else {})


def replaced(state, **fields):
    """``state`` with ``fields``, which are of the shapes of those that they replace."""
    for name, value in fields.items():
        assert jax.tree.map(np.shape, getattr(state, name)) == jax.tree.map(np.shape, value), name
    return dataclasses.replace(state, **fields)
