"""The update in PyTorch is the one here: from the same weights, batches and draws, the same losses and parameters."""

import functools
import json
import sys

import jax
import numpy as np
import pytest

from patchail_jax.configs import finger
from patchail_jax.errors import UserError
from patchail_jax.networks.geometry import encoder_layers, output_size
from patchail_jax.programs import against_torch, bench
from tests.parity.golden import LOSS, MOVED, PENALTY, relative
from tests.parity.program import handing_out, keys_of, on_one_device, parameters
from tests.small import SPECS, groups_of, make_batch, make_method

BATCH, EXPERTS, UPDATES, PAD = 8, 4, 3, 2
SIDE = output_size(SPECS.image_size, encoder_layers())
# Every number another one, and rates at which all tensors move.
NUMBERS = {
    "agent__optimizer": "sgd",
    "agent__critic_learning_rate": 0.03,
    "agent__actor_learning_rate": 0.02,
    "agent__decay": {"start": 1, "updates": 4, "final": 0.3},
    "agent__discount": 0.8,
    "agent__target_rate": 0.2,
    "agent__std_duration": 40,
    "agent__noise_clip": 0.35,
    "agent__preactivation_penalty": 0.06,
    "discriminator__optimizer": "sgd",
    "discriminator__learning_rate": 0.003,
    "discriminator__penalty_weight": 7.0,
    "discriminator__penalty_pixel_scale": 2.0,
    "reward__scale": 0.6,
}
CASES = {
    "at_episode_end": {"reward__moment": "at_episode_end"},
    "at_update": {"reward__moment": "at_update"},
    "adam": {
        "reward__moment": "at_episode_end",
        "agent__optimizer": "adam",
        "agent__critic_learning_rate": 1e-3,
        "discriminator__optimizer": "adam",
    },
}
# In the place of those above: none of them is without effect.
OTHERS = {
    "agent__critic_learning_rate": 0.031,
    "agent__actor_learning_rate": 0.021,
    "agent__decay": {"start": 1, "updates": 4, "final": 0.2},
    "agent__discount": 0.81,
    "agent__target_rate": 0.21,
    "agent__std_duration": 41,
    "agent__noise_clip": 0.36,
    "agent__preactivation_penalty": 0.07,
    "agent__first_update_step": 11,
    "agent__steps_per_update": 3,
    "discriminator__learning_rate": 0.0031,
    "discriminator__decay": {"start": 0, "updates": 9, "final": 0.9},
    "discriminator__penalty_weight": 7.2,
    "discriminator__penalty_pixel_scale": 2.02,
    "reward__scale": 0.61,
    "reward__moment": "at_episode_end",
}


def batches():
    rng = np.random.default_rng(5)
    for number in range(UPDATES):
        batch = make_batch(number, batch=BATCH, expert=EXPERTS)
        discounts = (rng.random((BATCH, SPECS.n_step)) < 0.8).astype(np.float32)
        yield batch._replace(agent=batch.agent._replace(discounts=discounts))


def draws():
    """Of each update: shifts ``[2,.,2]`` of the expert, the agent and the learner, the mix, two noises."""
    rng = np.random.default_rng(6)
    for _ in range(UPDATES):
        yield {
            "shifts": [rng.integers(-PAD, PAD + 1, (2, count, 2)) for count in (EXPERTS, EXPERTS, BATCH)],
            "mix": rng.random(EXPERTS).astype(np.float32),
            "noises": [rng.normal(size=(BATCH, SPECS.action_size)).astype(np.float32) for _ in range(2)],
        }


@functools.cache
def updates_here(**numbers):
    """The first state and, of each update, the state after it and its metrics."""
    numbers = {name: dict(value) if isinstance(value, tuple) else value for name, value in numbers.items()}

    def update(state, batch, drawn):
        with handing_out(drawn):
            return make_method("patchail", **numbers).update(state, batch)

    state = jax.device_get(make_method("patchail", **numbers).init(jax.random.PRNGKey(0)))
    found = [(state, None)]
    run = on_one_device(update)
    for batch, drawn in zip(batches(), draws(), strict=True):
        handed = {
            "shift": [keys_of(one, PAD) for shifts in drawn["shifts"] for one in shifts],
            "noise": drawn["noises"],
            "mix": [drawn["mix"]],
        }
        inputs = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (batch, handed))
        state, metrics = jax.device_get(run(state, *inputs))
        found.append((state, metrics))
    return found


def hashable(numbers):
    return {name: tuple(value.items()) if isinstance(value, dict) else value for name, value in numbers.items()}


def tensors(tree, side):
    """Parameters as ``torch_networks`` names them; ``side`` of the encoder's output, whose features it orders."""
    import torch

    found = {}

    def dense(name, layer, kernel=None):
        found[f"{name}.weight"] = torch.tensor(np.array((layer["kernel"] if kernel is None else kernel).T))
        found[f"{name}.bias"] = torch.tensor(layer["bias"])

    def perceptron(name, layers, last):
        for place, layer in zip((0, 2, 4), ("hidden_0", "hidden_1", last), strict=True):
            dense(f"{name}.{place}", layers[layer])

    layers = tree["params"]
    if "trunk" in layers:
        kernel = layers["trunk"]["projection"]["kernel"]
        by_channels = kernel.reshape(side, side, -1, kernel.shape[1]).transpose(2, 0, 1, 3).reshape(kernel.shape)
        dense("trunk.0", layers["trunk"]["projection"], by_channels)
        found["trunk.1.weight"] = torch.tensor(layers["trunk"]["norm"]["scale"])
        found["trunk.1.bias"] = torch.tensor(layers["trunk"]["norm"]["bias"])
    if "mean" in layers:
        perceptron("policy", layers, "mean")
    for head in range(2):
        if f"heads_{head}" in layers:
            perceptron(f"heads.{head}", layers[f"heads_{head}"], "value")
    for number in range(4):
        if layer := layers.get(f"convolution_{number}"):
            found[f"layers.{2 * number}.weight"] = torch.tensor(np.array(layer["kernel"].transpose(3, 2, 0, 1)))
            found[f"layers.{2 * number}.bias"] = torch.tensor(layer["bias"])
    assert len(found) == len(jax.tree.leaves(layers))
    return found


def networks(state):
    """All parameters of a state here, by network and name."""
    found = parameters(state)
    trees = {"encoder": found["critic"]["encoder"], "critic": found["critic"]["critic"]}
    trees |= {name: found[name] for name in ("actor", "target_critic", "discriminator")}
    return {name: tensors(tree, side=SIDE) for name, tree in trees.items()}


class Torch:
    """The update in PyTorch from the weights of ``state``."""

    def __init__(self, state, **numbers):
        from patchail_jax.programs import torch_update

        self.module = torch_update
        self.learner = torch_update.PatchAIL(groups_of("patchail", **numbers), SPECS, "cpu")
        for name, found in networks(state).items():
            getattr(self.learner, name).load_state_dict(found)

    def update(self, batch, drawn):
        import torch

        expert, agent, learner = map(torch.tensor, drawn["shifts"])
        mix, noises = torch.tensor(drawn["mix"]), map(torch.tensor, drawn["noises"])
        given = self.module.Draws(expert, agent, mix, learner, *noises)
        metrics = self.learner.update(self.module.to_device(batch, "cpu"), given)
        return {name: float(value) for name, value in metrics.items()}

    def networks(self):
        return {name: getattr(self.learner, name).state_dict() for name in networks_of(self.learner)}


def networks_of(learner):
    return [name for name, value in vars(learner).items() if hasattr(value, "state_dict") and hasattr(value, "forward")]


def of_tensors(found, wanted):
    """The largest error of any entry, over the largest entry of its tensor."""
    return max(relative(one, other) for one, other in zip(found, wanted, strict=True))


def errors(numbers, other=None):
    """The largest errors over all updates: of metrics, and of what any network's tensors have moved by."""
    here = updates_here(**hashable(numbers))
    theirs, start = Torch(here[0][0], **(numbers | (other or {}))), networks(here[0][0])
    found = {}
    for batch, drawn, (state, expected) in zip(batches(), draws(), here[1:], strict=True):
        for name, value in theirs.update(batch, drawn).items():
            found[name] = max(found.get(name, 0.0), relative(value, expected[name]))
        after, now = networks(state), theirs.networks()
        assert set(now) == set(after)
        for network, wanted in after.items():
            assert set(now[network]) == set(wanted)
            changes = ([part[network][name] - start[network][name] for name in wanted] for part in (now, after))
            found[network] = max(found.get(network, 0.0), of_tensors(*changes))
    return found


def excesses(found):
    """The errors that rounding does not explain, by name."""
    metric = {name: PENALTY if name == "discriminator/penalty" else LOSS for name in found if "/" in name}
    return {name: error for name, error in found.items() if not error <= metric.get(name, MOVED)}


@pytest.mark.parametrize("case", CASES)
def test_updates_in_pytorch_are_the_updates_here(case):
    pytest.importorskip("torch")
    assert not excesses(errors(NUMBERS | CASES[case]))


@pytest.mark.parametrize("field", OTHERS)
def test_another_number_is_seen(field):
    pytest.importorskip("torch")
    assert excesses(errors(NUMBERS | CASES["at_update"], {field: OTHERS[field]}))


def test_every_tensor_learns_in_bfloat16():
    pytest.importorskip("torch")
    numbers = NUMBERS | CASES["adam"] | {"network__precision": "bfloat16"}
    start = updates_here(**hashable(NUMBERS | CASES["adam"]))[0][0]
    theirs, before = Torch(start, **numbers), networks(start)
    metrics = theirs.update(next(batches()), next(draws()))
    assert np.isfinite(list(metrics.values())).all()
    still = [
        (network, name)
        for network, tensors in theirs.networks().items()
        for name, tensor in tensors.items()
        if (tensor == before[network][name]).all()
    ]
    assert not still


def test_draws_are_in_their_ranges():
    torch_update = pytest.importorskip("patchail_jax.programs.torch_update", exc_type=ImportError)
    numbers = {"agent__shift_pad": 1, "discriminator__augmentation_pad": 3}
    learner = torch_update.PatchAIL(groups_of("patchail", **numbers), SPECS, "cpu")
    batch = torch_update.to_device(make_batch(batch=256, expert=128), "cpu")
    drawn = learner.draw(batch)
    for shifts, pad in ((drawn.expert_shifts, 3), (drawn.agent_shifts, 3), (drawn.learner_shifts, 1)):
        assert sorted(set(shifts.flatten().tolist())) == list(range(-pad, pad + 1))
    assert drawn.expert_shifts.shape == drawn.agent_shifts.shape == (2, 128, 2) and drawn.mix.shape == (128,)
    assert drawn.learner_shifts.shape == (2, 256, 2) and drawn.target_noise.shape == drawn.actor_noise.shape == (256, 2)
    assert 0 <= drawn.mix.min() < 0.1 and 0.9 < drawn.mix.max() <= 1
    assert drawn.target_noise.std() == pytest.approx(1, abs=0.15) and (drawn.target_noise != drawn.actor_noise).all()


def test_the_command_writes_both_times_and_their_ratio(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setattr(bench, "SECONDS", 0.1)
    sizes = ("env.episode_frames=80", "replay.batch_size=8", "replay.expert_batch_size=8", "network.hidden_size=4")
    fields = [f"--config.{size}" for size in (*sizes, "discriminator.channels=2", "network.encoder_channels=2")]
    output = tmp_path / "figures.json"
    bench.main(["--against=torch", f"--output={output}", *fields])
    figures = json.loads(output.read_text())
    assert list(figures["update"]) == [f"patchail, rewards at {when}, float32" for when in ("episode end", "update")]
    printed = capsys.readouterr().out
    for numbers in figures["update"].values():
        assert min(numbers.values()) > 0
        assert numbers["ratio"] == pytest.approx(numbers["torch_ms"] / numbers["ms"])
        assert numbers["cpu_ratio"] == pytest.approx(numbers["torch_cpu_ms"] / numbers["cpu_ms"])
        assert f"{numbers['ratio']:.2f} times as long" in printed
    assert figures["torch"] and figures["devices"] == 1


def test_without_torch_one_line_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    output = tmp_path / "figures.json"
    with pytest.raises(UserError, match=r"pip install '\.\[torch\]'"):
        bench.main(["--against=torch", f"--output={output}"])
    assert not output.exists()


def test_what_pytorch_is_not_compared_in_is_refused():
    pytest.importorskip("torch")
    for method, field in {
        "patchail_w": "similarity.regularizer",
        "patchail+published": "discriminator.agent_successor",
    }.items():
        with pytest.raises(UserError, match=f"--against=torch is for config.{field}"):
            against_torch.refuse(finger.get_config(method))
    against_torch.refuse(finger.get_config())


def test_what_it_is_for_is_the_paper_s_patchail():
    for name, value in against_torch.ONLY.items():
        group, field = name.split(".")
        assert finger.get_config()[group][field] == value
