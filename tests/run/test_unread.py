"""Fields that a method does not read are said to change nothing, and those alone."""

import re

import jax
import pytest

from patchail_jax.methods import METHODS
from patchail_jax.programs import train as program
from patchail_jax.programs.command_line import parse
from patchail_jax.run.config import paper_config
from patchail_jax.run.unread import unread
from patchail_jax.storage.run_config import flatten
from patchail_jax.updates.gradient_step import DEVICE_AXIS
from tests.small import LAIFO, SPECS, groups_of, make_batch

CLONING = {"cloning__weight_initial": 1.0}
SETTINGS = [
    ("patchail", {}),
    ("patchail", {**CLONING, "cloning__schedule": "exponential", "discriminator__architecture": "transformer"}),
    ("patchail_w", {"cloning__schedule": "soft_q_filter", "similarity__expert_pairs": "trajectory"}),
    ("shared_encoder_ail", CLONING),
    ("independent_encoder_ail", {}),
    ("laifo", LAIFO),
    ("drqv2", {}),
    ("drqv2_features", {}),
    ("bc", {}),
    ("bco", {}),
    ("rot", {}),
    ("rot", {"cloning__schedule": "linear", **CLONING}),
]


# Other values of fields that must be one of a few names.
OTHER = {"distribution": "softmax", "expert": "nearest", "expert_pairs": "trajectory", "agent_pairs": "window"}


def changed(fields, names):
    """The flat ``fields`` with another value for each of ``names``."""
    other = {bool: lambda value, key: not value, str: lambda value, key: OTHER.get(key, "other")}
    number = lambda value, key: value + 1  # noqa: E731 - as the others
    return {
        name: other.get(type(value), number)(value, name.rpartition(".")[2]) if name in names else value
        for name, value in fields.items()
    }


def program_of(name, groups):
    """What the method computes when it begins, acts and learns, in JAX's words."""
    specs = SPECS._replace(feature_count=5) if name == "drqv2_features" else SPECS
    method = METHODS[name](specs, groups)
    key = jax.random.PRNGKey(0)
    made, state = jax.make_jaxpr(method.init, return_shape=True)(key)
    demonstration = 5 if method.needs.demonstration else 0
    batch = make_batch(specs=specs, expert_steps=method.needs.expert_steps, demonstration=demonstration)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), (state, batch))
    said = [made, jax.make_jaxpr(jax.vmap(method.update, axis_name=DEVICE_AXIS))(*one)]
    if method.needs.environment and not specs.feature_count:
        seen = jax.ShapeDtypeStruct((2, 24, 24, 6), "uint8")
        said.append(jax.make_jaxpr(method.explore)(jax.eval_shape(method.publish, state), seen, key, 3))
    return re.sub(r"0x[0-9a-f]+", "", "".join(map(str, said)))


@pytest.mark.parametrize(("name", "overrides"), SETTINGS)
def test_what_is_said_to_change_nothing_changes_nothing(name, overrides):
    config = paper_config("cheetah_run", name)
    config.update(groups_of(name, **overrides))
    said = unread(config, flatten(groups_of(name)))
    other = config.copy_and_resolve_references()
    other.update_from_flattened_dict(changed(flatten(config.to_dict()), said))
    assert said and other.to_dict() != config.to_dict()
    assert program_of(name, other.to_dict()) == program_of(name, config.to_dict())


@pytest.mark.parametrize(
    ("method", "flags", "said"),
    [
        ("bc", {"similarity.scale_initial": 3.0}, "bc does not read it"),
        ("rot", {"reward.form": "gail"}, "rot does not read it"),
        ("laifo", {"discriminator.kernel_size": 8}, "laifo does not read it"),
        ("patchail", {"similarity.scale_initial": 2.0}, "it is not read with similarity.regularizer=none"),
        ("patchail", {"agent.decay.final": 0.5}, "it is not read with agent.decay.updates=0"),
        ("patchail", {"cloning.weight_final": 0.5}, "with cloning.schedule=linear and cloning.weight_initial=0.0"),
        ("patchail", {"cloning.weight_final": 0.5, "cloning.weight_initial": 1.0}, ""),
        ("patchail_w", {"similarity.scale_initial": 2.0}, ""),
        ("drqv2", {"reward.scale": 2.0}, ""),
    ],
)
def test_a_flag_that_changes_nothing_is_said_before_training(monkeypatch, caplog, method, flags, said):
    monkeypatch.setattr(program, "train", lambda config, profile: None)
    monkeypatch.setattr(program, "show_log", lambda stream: None)
    program.main([f"--config=cheetah:{method}", *(f"--config.{field}={value}" for field, value in flags.items())])
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(said)
    if said:
        assert messages[0].startswith(f"config.{next(iter(flags))} changes nothing: ") and said in messages[0]


def test_what_a_config_s_file_sets_is_not_said():
    assert parse(["x", "--config=quickstart:drqv2", "--config.seed=1"]).given == ["seed"]
