"""A run that begins with what another has learned."""

import shutil

import jax
import numpy as np
import pytest

from patchail_jax.errors import UserError
from patchail_jax.programs.command_line import parse
from patchail_jax.programs.train import train
from patchail_jax.run.design import make_method
from patchail_jax.run.inheritance import inherited, parts_asked, refuse_parts
from patchail_jax.run.reopened import open_trained
from patchail_jax.storage.parameters import write_parameters
from patchail_jax.types import Specs
from tests.test_train import arguments, cache, last_checkpoint

pytestmark = pytest.mark.usefixtures("shared_programs")

__all__ = ["cache"]

SHORT = ["--config.num_frames=60", "--config.agent.first_update_step=4", "--config.evaluation.every_frames=0"]
SPECS = Specs(16, 2, 1, 3)


@pytest.fixture(scope="module")
def cloned(tmp_path_factory, cache):
    """A run of behaviour cloning."""
    folder = tmp_path_factory.mktemp("cloned") / "run"
    train(parse(arguments(folder, cache, *SHORT, method="bc")).config)
    return folder


def config_of(cache, folder, *words, method="patchail"):
    # No update: what is saved at the end is the first state.
    words = [
        "--config.num_frames=40",
        "--config.agent.first_update_step=1000",
        "--config.evaluation.every_frames=0",
        *words,
    ]
    return parse(arguments(folder, cache, "--config.env.action_repeat=2", *words, method=method)).config


def test_a_policy_is_the_first_state_s_and_a_resume_does_not_ask_for_it_again(cloned, cache, tmp_path):
    other = tmp_path / "bc"
    shutil.copytree(cloned, other)
    _, theirs, _ = last_checkpoint(other)
    config = config_of(
        cache, tmp_path / "run", f"--config.init_from={other}", "--config.cloning.schedule=soft_q_filter"
    )
    train(config)
    shutil.rmtree(other)
    config.num_frames = 60
    train(config)
    _, state, _ = last_checkpoint(tmp_path / "run")
    for name, leaf in theirs.items():
        if name.startswith("policy."):
            part = name.removeprefix("policy.")
            own = f"learner.critic.{part}" if part.startswith("encoder") else f"learner.{part}"
            np.testing.assert_array_equal(state[own], leaf, err_msg=own)
            np.testing.assert_array_equal(state[f"reference.{part}"], leaf)


def test_what_does_not_fit_is_one_line_and_leaves_no_trace(cloned, cache, tmp_path):
    for words, message in (
        (
            [f"--config.init_from={cloned}", "--config.network.hidden_size=8"],
            r"the actor of .* does not fit this run's: network.hidden_size is \d+ there and 8 here. Make them equal",
        ),
        (
            [f"--config.init_from={cloned}", "--config.env.task=walker_walk", "--config.demos.path="],
            "actions have 1 numbers there and 6 here. Take config.init_parts=encoder",
        ),
        ([f"--config.init_from={tmp_path}"], "config.init_from must be .* another run.* is not the folder of a run"),
        ([f"--config.init_from={cloned}", "--config.init_parts=discriminator"], "bc in .* has no discriminator"),
    ):
        folder = tmp_path / "refused"
        with pytest.raises(UserError, match=message) as error:
            train(config_of(cache, folder, *words))
        left = [str(path.relative_to(folder)) for path in folder.rglob("*")]
        assert "\n" not in str(error.value) and set(left) <= {"lock", "checkpoints"}


def test_a_run_with_values_that_are_no_numbers_is_refused(cloned, cache, tmp_path):
    broken = shutil.copytree(cloned, tmp_path / "broken", ignore=shutil.ignore_patterns("checkpoints"))
    state = jax.device_get(open_trained(cloned).state)
    write_parameters(
        broken / "parameters", 1, jax.tree.map(lambda leaf: leaf * np.nan if leaf.dtype == np.float32 else leaf, state)
    )
    config = config_of(cache, tmp_path, f"--config.init_from={broken}")
    with pytest.raises(UserError, match=r"config.init_from must be .*: checkpoint 1 in .* values that are not finite"):
        inherited(config, make_method(config, SPECS))


def test_parts_are_taken_one_by_one(cloned, cache, tmp_path):
    """The encoder alone, with all else as it was; and ROT's reference and target go with its policy."""
    trained = open_trained(cloned)
    policy = trained.method.publish(trained.state)

    def begun(method, parts):
        config = config_of(
            cache, tmp_path, f"--config.init_from={cloned}", f"--config.init_parts={parts}", method=method
        )
        made = make_method(config, SPECS)
        key = jax.random.PRNGKey(0)
        return jax.device_get((made.init(key), made.init(key, inherited(config, made))))

    def same(one, other):
        pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
        return all(np.array_equal(a, b) for a, b in pairs)

    before, after = begun("patchail", "encoder")
    assert same(after.learner.critic["encoder"], policy["encoder"]) and same(after.learner.actor, before.learner.actor)
    assert not same(before.learner.critic["encoder"], policy["encoder"])
    assert same(after.discriminator, before.discriminator)
    _, after = begun("rot", "policy")
    for one in (after.reference, after.target, make_policy(after.learner)):
        assert same(one, policy)


def make_policy(learner):
    return {"encoder": learner.critic["encoder"], "actor": learner.actor}


def test_a_discriminator_goes_with_the_encoder_that_it_reads(cache, tmp_path):
    def refused(method, parts, *words):
        config = config_of(
            cache, tmp_path, "--config.init_from=r", f"--config.init_parts={parts}", *words, method=method
        )
        refuse_parts(config, make_method(config, SPECS))

    refused("patchail", "discriminator")
    refused("independent_encoder_ail", "encoder+discriminator")
    refused("laifo", "policy+discriminator")
    for method, parts, message in (
        ("laifo", "discriminator", "set config.init_parts=encoder"),
        ("laifo", "discriminator+discriminator", "set config.init_parts=encoder"),
        ("shared_encoder_ail", "policy+discriminator", "features of the critic, which is not taken over"),
        ("bco", "discriminator", "bco has no discriminator"),
        (
            "patchail",
            "critic",
            "config.init_parts is 'critic'; use one of policy, encoder, discriminator, or several with",
        ),
    ):
        with pytest.raises(UserError, match=message):
            refused(method, parts)
    with pytest.raises(UserError, match="set config.init_from to a run of bc"):
        refused("patchail", "encoder", "--config.cloning.schedule=soft_q_filter")
    config = config_of(cache, tmp_path, "--config.cloning.schedule=soft_q_filter", method="rot")
    refuse_parts(config, make_method(config, SPECS))
    assert parts_asked(config) == ()


def test_parts_without_a_run_to_take_them_from_are_refused(cache, tmp_path):
    config = config_of(cache, tmp_path, "--config.init_parts=encoder")
    with pytest.raises(UserError, match="config.init_from, which is empty"):
        refuse_parts(config, make_method(config, SPECS))


def test_a_discriminator_of_another_trunk_is_refused_by_the_field(cache, tmp_path):
    """Not by the names of its parameters, which say nothing to a user."""
    first = tmp_path / "first"
    train(config_of(cache, first, method="shared_encoder_ail"))
    config = config_of(cache, tmp_path / "second", f"--config.init_from={first}", method="laifo")
    with pytest.raises(UserError, match="network.trunk is 'own' there and 'shared' here. Make them equal"):
        inherited(config, make_method(config, SPECS))
