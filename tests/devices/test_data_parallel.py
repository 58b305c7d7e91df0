"""The pmapped update: the same on any number of devices, compiled once, the state consumed."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from patchail_jax.devices.data_parallel import Devices, fetch, purpose_key
from patchail_jax.devices.frames_on_devices import FramesOnDevices
from patchail_jax.devices.mapping import MAPPINGS
from patchail_jax.errors import UserError
from patchail_jax.maps.explainer import Explainer
from patchail_jax.types import Purpose
from tests.small import SPECS, for_devices, make_batch, make_method

pytestmark = pytest.mark.usefixtures("shared_programs")


def run(devices: int, *, name: str, calls: int, updates_per_call: int = 1, mapping: str = "pmap", **overrides):
    learner = Devices(make_method(name, **overrides), SPECS, count=devices, mapping=mapping)
    state = learner.init(0)
    for call in range(calls):
        batches = [make_batch(call * updates_per_call + k, demonstration=12) for k in range(updates_per_call)]
        state, metrics = learner.update(state, for_devices(batches, devices))
    return fetch(state), dict(zip(metrics.names, np.asarray(metrics.values), strict=True)), learner


def assert_same(first, second, *, rtol=1e-4):
    for path, leaf in jax.tree_util.tree_leaves_with_path(first):
        other = dict(jax.tree_util.tree_leaves_with_path(second))[path]
        scale = float(np.abs(leaf).max()) + 1e-12
        np.testing.assert_allclose(leaf, other, rtol=rtol, atol=1e-5 * scale, err_msg=jax.tree_util.keystr(path))


SGD = {"agent__optimizer": "sgd", "agent__critic_learning_rate": 1e-2, "agent__actor_learning_rate": 1e-2}
DISCRIMINATOR_SGD = {"discriminator__optimizer": "sgd", "discriminator__learning_rate": 1e-2}
TRAJECTORY = {"similarity__expert_pairs": "trajectory"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("patchail", {"reward__moment": "at_update"}),
        ("patchail", {"reward__moment": "at_episode_end"}),
        ("patchail_w", TRAJECTORY),
        ("patchail_b", {"similarity__expert": "nearest", "similarity__agent_pairs": "window"}),
        ("patchail_b", {"similarity__expert": "mean_logits", "similarity__distribution": "softmax"}),
    ],
)
def test_one_and_four_devices_give_the_same_parameters(name, settings):
    settings = {**SGD, **DISCRIMINATOR_SGD, **settings}
    one, one_metrics, _ = run(1, name=name, calls=4, **settings)
    four, four_metrics, _ = run(4, name=name, calls=4, **settings)
    start = fetch(Devices(make_method(name, **settings), SPECS, count=1).init(0))
    assert_same(one, four)
    before, after = ({**vars(state), **vars(state.learner)} for state in (start, one))
    for trained in ("discriminator", "critic", "actor", "target_critic"):
        moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), before[trained], after[trained])
        assert max(jax.tree.leaves(moved)) > 1e-6, f"{trained} did not move: the comparison says nothing"
    for name, value in one_metrics.items():
        np.testing.assert_allclose(four_metrics[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("name", "settings"), [("patchail_w", {**SGD, **DISCRIMINATOR_SGD, **TRAJECTORY}), ("rot", {})]
)
def test_both_mappings_give_the_same_parameters_to_the_last_bit(name, settings):
    for devices in (1, 4):
        (one, one_metrics, _), (other, other_metrics, _) = (
            run(devices, name=name, calls=3, mapping=mapping, **settings) for mapping in MAPPINGS
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(one):
            found = dict(jax.tree_util.tree_leaves_with_path(other))[path]
            np.testing.assert_array_equal(leaf, found, err_msg=jax.tree_util.keystr(path))
        assert one_metrics == other_metrics


def test_one_two_and_eight_devices_give_the_same_parameters(tmp_path):
    file = tmp_path / "states.npz"
    subprocess.run([sys.executable, "-m", "tests.devices.eight_devices", str(file)], check=True, timeout=300)
    with np.load(file) as stored:
        states = [
            {name[2:]: stored[name] for name in stored.files if name.startswith(f"{count} ")} for count in (1, 2, 8)
        ]
    assert len(states[0]) > 20
    for other in states[1:]:
        assert_same(states[0], other)


def test_four_updates_in_one_call_are_four_calls():
    apart, _, _ = run(1, name="patchail", calls=4, **SGD, **DISCRIMINATOR_SGD)
    together, _, _ = run(1, name="patchail", calls=1, updates_per_call=4, **SGD, **DISCRIMINATOR_SGD)
    assert_same(apart, together)


def test_operations_are_one_update_s_on_any_number_of_devices_and_of_updates_a_call():
    def count(devices, updates_per_call):
        learner = Devices(make_method(), SPECS, count=devices)
        batches = for_devices([make_batch(0)] * updates_per_call, devices)
        return learner.operations(learner.init(0), batches)

    assert count(1, 1) == count(1, 4)
    np.testing.assert_allclose(count(4, 1), count(1, 1), rtol=0.05)  # each device makes Adam's step


def test_operations_are_those_of_the_layers():
    """What grows with the square of the hidden size is the 16 products between hidden layers, and their Adam steps."""
    batch = make_batch(0)

    def count(hidden_size):
        learner = Devices(make_method("drqv2", network__hidden_size=hidden_size), SPECS, count=1)
        return learner.operations(learner.init(0), for_devices([batch], 1))

    quadratic = (count(192) - 2 * count(128) + count(64)) / (2 * 64**2)
    # Two critics: targets 1, values and their gradients 3, the policy's actions and the gradient in them 2.
    # The actor: next actions 1, actions and their gradients 3.
    products = 2 * len(batch.sample_index) * (2 * (1 + 3 + 2) + 1 + 3)
    assert products < quadratic < 1.5 * products


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_nothing_compiles_after_the_first_call(caplog, mapping):
    method = make_method()
    learner = Devices(method, SPECS, count=4, mapping=mapping)
    explainer = Explainer(method.discriminator, learner, image_size=24)
    state = learner.init(0)
    observation = np.zeros((1, 24, 24, 6), np.uint8)
    episode = np.zeros((9, 24, 24, 3), np.uint8)
    root = learner.acting_root(0)

    def everything(state, call):
        state, _ = learner.update(state, for_devices([make_batch(call)], 4))
        parameters = learner.publish(state)
        learner.explore(parameters, observation, root, call, call)
        learner.exploit(parameters, observation)
        explainer.patch_rewards(state, episode)
        return jax.block_until_ready(state)

    state = everything(state, 0)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        state = everything(everything(state, 1), 2)
    assert not [record.message for record in caplog.records if "ompil" in record.message]


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_what_goes_to_the_devices_is_put_there(mapping):
    """Nothing is left to JAX to move in silence: not from the host, and not between devices."""
    learner = Devices(make_method(reward__moment="at_episode_end"), SPECS, count=4, mapping=mapping)
    state, root = learner.init(0), learner.acting_root(0)
    frames = FramesOnDevices(8, (24, 24, 3), np.uint8, devices=learner.devices, mapping=learner.mapping)
    batch = for_devices([make_batch()], 4)
    batch = batch._replace(
        agent=batch.agent._replace(frames=np.zeros(batch.agent.frames.shape[:-3], np.int32)),
        expert=batch.expert._replace(frames=np.zeros(batch.expert.frames.shape[:-3], np.int32)),
        demonstration=np.zeros(batch.demonstration.shape[:-3], np.int32),
    )
    with jax.transfer_guard("disallow"):
        frames.write(np.arange(8), np.zeros((8, 24, 24, 3), np.uint8))
        state, _ = learner.update(state, *learner.spread((batch, frames.shards)))
        parameters = learner.publish(state)
        learner.explore(parameters, np.zeros((2, 24, 24, 6), np.uint8), root, 1, 1)
        learner.exploit(parameters, np.zeros((1, 24, 24, 6), np.uint8))
        learner.label(state, np.zeros((9, 24, 24, 3), np.uint8))
        learner.copy(state)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_the_given_state_is_consumed_and_the_published_parameters_survive(mapping):
    learner = Devices(make_method("drqv2"), SPECS, count=1, mapping=mapping)
    state = learner.init(0)
    parameters = learner.publish(state)
    learner.update(state, for_devices([make_batch()], 1))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.critic))
    assert np.isfinite(learner.exploit(parameters, np.zeros((1, 24, 24, 6), np.uint8))).all()


def test_more_devices_than_there_are_is_one_line():
    with pytest.raises(UserError, match="only 4 cpu devices"):
        Devices(make_method(), SPECS, count=5)


def test_an_episode_is_scored_the_same_in_chunks_of_any_padding():
    learner = Devices(make_method(reward__moment="at_episode_end"), SPECS, count=1)
    state = learner.init(0)
    frames = np.random.default_rng(0).integers(0, 256, (150, 24, 24, 3), dtype=np.uint8)
    _, whole = learner.label(state, frames)
    assert whole.shape == (149,)
    np.testing.assert_allclose(learner.label(state, frames[:40])[1], whole[:39], rtol=1e-4, atol=1e-6)


def test_every_draw_explores_in_its_own_way_and_the_same_draw_in_the_same():
    learner = Devices(make_method("drqv2"), SPECS, count=1)
    parameters, root = learner.publish(learner.init(0)), learner.acting_root(0)
    observations = np.zeros((2, 24, 24, 6), np.uint8)
    first, again, other = (np.asarray(learner.explore(parameters, observations, root, draw, 50)) for draw in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_no_two_purposes_draw_from_the_same_key():
    root = Devices(make_method(), SPECS, count=1).acting_root(0)
    keys = {tuple(np.asarray(jax.random.fold_in(root, draw)).tolist()) for draw in range(200)}
    init = purpose_key(0, Purpose.INITIALISATION)
    keys |= {tuple(np.asarray(key).tolist()) for key in (init, *jax.random.split(init, 8))}
    assert len(keys) == 200 + 9
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose)
