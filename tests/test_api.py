"""The package as a library: a run trained, opened and asked, and updates without the loop."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import patchail_jax
from patchail_jax.configs import quickstart
from patchail_jax.demos import trajectory
from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.demos.form import Trajectories
from patchail_jax.errors import UserError
from patchail_jax.maps.kinds import KINDS
from patchail_jax.programs.command_line import parse
from patchail_jax.run.config import apply_preset
from patchail_jax.run.design import load_experts
from patchail_jax.run.reopened import open_trained
from patchail_jax.run.sizes import expert_batch_size
from patchail_jax.storage.parameters import write_parameters
from patchail_jax.types import AgentBatch, ExpertBatch
from tests.test_train import arguments

STEPS, SIDE, ACTIONS = 10, 16, 1


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder, cache = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("cache")
    return parse(arguments(folder, cache, "--config.num_frames=320", "--config.evaluation.every_frames=320")).config


@pytest.fixture(scope="module")
def run(config):
    assert patchail_jax.train(config) == config.run_folder
    return patchail_jax.load_run(config.run_folder)


@pytest.fixture(scope="module")
def expert(config) -> ExpertSet:
    return load_experts(config, action_size=ACTIONS)


def test_a_run_is_opened_where_it_ended(run, config):
    assert run.frame == 320 and run.config.to_dict() == config.to_dict()
    assert patchail_jax.load_run(config.run_folder, checkpoint=40).frame == 320
    with pytest.raises(UserError, match="is not the folder of a run"):
        patchail_jax.load_run(f"{config.run_folder}/nothing")


def test_a_checkpoint_of_no_numbers_is_refused_with_what_else_there_is(run, config, tmp_path):
    folder = Path(shutil.copytree(config.run_folder, tmp_path / "run"))
    state = jax.device_get(open_trained(folder).state)
    last = state.discriminator.params["params"]
    broken = {**last, "convolution_0": jax.tree.map(lambda leaf: leaf * np.nan, last["convolution_0"])}
    discriminator = state.discriminator.replace(params={"params": broken})
    write_parameters(folder / "parameters", 20, state.replace(discriminator=discriminator))
    with pytest.raises(UserError, match=r"checkpoint 20 in \S+run has values that are not finite: name another \(40\)"):
        patchail_jax.load_run(folder, checkpoint=20)
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(UserError, match="has values that are not finite: put back a copy, or train again"):
        patchail_jax.load_run(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("env.frame_stack", 0),
        ("env.action_repeat", -1),
        ("discriminator.channels", -1),
        ("network.hidden_size", 2.5),
        ("reward.scale", float("nan")),
        ("reward.scale", "x"),
        ("num_frames", float("inf")),
    ],
)
def test_a_stored_config_is_within_the_bounds_of_one_that_is_asked_for(config, tmp_path, field, value):
    stored = config.copy_and_resolve_references()
    with stored.ignore_type():
        stored.update_from_flattened_dict({field: value})
    (tmp_path / "config.json").write_text(json.dumps(stored.to_dict()))
    with pytest.raises(UserError, match=rf"config\.json: config\.{field} is {value!r}; it must be"):
        patchail_jax.load_run(tmp_path)


def test_the_policy_sees_the_last_frames_and_the_first_one_repeated_before_it(run, config):
    frames, trained = run.frames("agent"), open_trained(Path(config.run_folder))
    policy = trained.devices.publish(trained.state)
    for step in (0, 1, STEPS):
        pair = np.concatenate([frames[max(step - 1, 0)], frames[step]], axis=-1)  # two are stacked, oldest first
        np.testing.assert_allclose(
            run.act(frames[: step + 1]), trained.devices.exploit(policy, pair[None])[0], atol=1e-6
        )
    several = run.act(np.stack([frames[:4], frames[3:7]]))
    np.testing.assert_allclose(several, np.stack([run.act(frames[:4]), run.act(frames[3:7])]), atol=1e-6)
    assert several.shape == (2, ACTIONS)
    assert not np.array_equal(run.act(frames[5:6]), run.act(frames[4:6]))  # more than the last frame is read


def test_rewards_patches_and_maps_are_of_one_discriminator(run):
    frames = run.frames("expert")
    steps = len(frames) - 1
    rewards, patches = run.reward(frames), run.patch_rewards(frames)
    assert rewards.shape == (steps,) and patches.ndim == 3
    np.testing.assert_allclose(patches.mean(axis=(1, 2)), rewards, atol=1e-5)
    for kind in ("patch_rewards", "attention", "weighted", "gradcam"):
        assert run.explain(frames, kind).shape == (steps, SIDE, SIDE)
    assert rewards.mean() != pytest.approx(run.reward(run.frames("random")).mean())


def test_asked_again_nothing_compiles(run, caplog):
    frames = run.frames("expert")

    def ask():
        run.reward(frames), run.patch_rewards(frames), run.explain(frames, "weighted"), run.act(frames)

    ask()
    with jax.log_compiles(), caplog.at_level("WARNING"):
        ask()
    assert not [record.message for record in caplog.records if "ompil" in record.message]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((3, 8, 8, 3), np.uint8), r"uint8 \[3, 8, 8, 3\]; they must be uint8 \[T,16,16,3\]"),
        (np.zeros((3, 16, 16, 3), np.float32), "frames are float32"),
        (np.zeros((1, 16, 16, 3), np.uint8), "a reward needs two frames"),
        (np.zeros((16, 16, 3), np.uint8), "they must be"),
    ],
)
def test_frames_that_do_not_fit_are_one_line(run, frames, message):
    for judge in (run.reward, run.patch_rewards, run.explain):
        with pytest.raises(UserError, match=message):
            judge(frames)


def test_actions_are_of_one_episode_or_of_several(run):
    with pytest.raises(UserError, match=r"uint8 \[T,16,16,3\] or \[B,T,16,16,3\]"):
        run.act(np.zeros((16, 16, 3), np.uint8))


def windows(config, expert, *, batch, seed=0):
    """Windows of a replay that holds noise, and pairs of the expert."""
    rng, stack, steps = np.random.default_rng(seed), config.env.frame_stack, config.replay.n_step
    agent = AgentBatch(
        rng.integers(0, 256, (batch, stack + steps, SIDE, SIDE, 3), np.uint8),
        rng.uniform(-1, 1, (batch, ACTIONS)).astype(np.float32),
        np.zeros((batch, steps), np.float32),
        np.ones((batch, steps), np.float32),
    )
    reach = steps if config.discriminator.expert_successor == "n_step" else 1
    starts = rng.integers(0, expert.frames.shape[1] - stack - reach, expert_batch_size(config))
    pairs = np.stack([expert.frames[0, start : start + stack + reach] for start in starts])
    return agent, ExpertBatch(pairs, np.zeros((len(pairs), ACTIONS), np.float32))


def test_updates_in_a_loop_of_one_s_own_teach_the_discriminator(config, expert):
    config = config.copy_and_resolve_references()
    config.discriminator.learning_rate = 1e-2
    update = patchail_jax.make_update(config)
    state, losses = update.init(0), []
    assert update.specs.action_size == ACTIONS
    before = update.reward(state, np.asarray(expert.frames[0]))
    for number in range(30):
        state, metrics = update(state, *windows(config, expert, batch=config.replay.batch_size, seed=number))
        losses.append(float(metrics["discriminator/classification"]))
    assert losses[-1] < losses[0] - 0.1
    assert update.reward(state, np.asarray(expert.frames[0])).mean() > before.mean()
    stacks = np.zeros((5, SIDE, SIDE, 3 * config.env.frame_stack), np.uint8)
    assert update.act(state, stacks).shape == (5, ACTIONS)


def test_an_update_of_several_devices_is_that_of_one(config, expert):
    if len(jax.local_devices()) < 2:
        pytest.skip("one device")
    found = []
    for devices in (1, 2):
        config = config.copy_and_resolve_references()
        config.devices = devices
        update = patchail_jax.make_update(config, action_size=ACTIONS)
        _, metrics = update(update.init(0), *windows(config, expert, batch=config.replay.batch_size))
        found.append({name: float(value) for name, value in metrics.items()})
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=1e-4)


def test_batches_that_do_not_fit_are_one_line(config, expert):
    update = patchail_jax.make_update(config, action_size=ACTIONS)
    agent, pairs = windows(config, expert, batch=8)
    state = update.init(0)
    for odd, message in (
        (
            (agent._replace(frames=agent.frames[:, 1:]), pairs),
            r"agent.frames is uint8 \[8, 4, 16, 16, 3\]; the config ",
        ),
        (
            (agent._replace(frames=agent.frames / np.float32(255)), pairs),
            r"agent.frames is float32 .* uint8 \[8, 5, 16",
        ),
        (
            (agent._replace(actions=agent.actions[:, None].repeat(3, 1)), pairs),
            r"agent.actions .* asks for numbers \[8, 1\]",
        ),
        ((agent._replace(rewards=agent.rewards[:, 1:]), pairs), "agent.rewards is float32"),
        ((AgentBatch(*(leaf[:4] for leaf in agent)), pairs), r"agent.frames is uint8 \[4, 5, .* asks for uint8 \[8, 5"),
        ((agent, pairs._replace(frames=pairs.frames[:, :, :8])), "expert.frames is"),
        ((agent, ExpertBatch(*(leaf[:-1] for leaf in pairs))), "expert.frames is"),
        ((None, pairs), "agent is a NoneType without frames"),
        (
            (agent._replace(frames=[agent.frames[0], agent.frames[1, 1:]]), pairs),
            "agent.frames cannot be made one array",
        ),
    ):
        with pytest.raises(UserError, match=message):
            update(state, *odd)
    stacks = np.zeros((2, SIDE, SIDE, 3 * config.env.frame_stack), np.uint8)
    for wrong in (stacks[..., :3], stacks[0], stacks.astype(np.float32), stacks[:0]):
        with pytest.raises(UserError, match=r"observations is .* the config asks for uint8 \[B, 16, 16, 6\]"):
            update.act(state, wrong)
    for wrong in ((4, SIDE, SIDE), (1, SIDE, SIDE, 3)):
        with pytest.raises(UserError, match=r"frames is uint8 .* the config asks for uint8 \[T\+1, 16, 16, 3\]"):
            update.reward(state, np.zeros(wrong, np.uint8))


@pytest.mark.parametrize("config", ["cheetah", None, {}])
def test_what_is_no_config_is_one_line(config):
    for function in (patchail_jax.train, patchail_jax.make_update):
        with pytest.raises(UserError, match="config is a .*; give one that"):
            function(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.replay.update({"batch_sze": 16}),
            "no config key config.replay.batch_sze; did you mean config.rep",
        ),
        (lambda c: c.update({"learning_rate": 3.0}), "no config key config.learning_rate; did you mean config.*learni"),
        (lambda c: c.replay.__delattr__("capacity"), "config.replay.capacity is missing"),
        (lambda c: setattr(c, "env", None), "config.env is None; it must be a group of fields"),
        (lambda c: c.update({"seed": None}), "config.seed is None; it must be a whole number"),
        (lambda c: c.agent.update({"discount": None}), "config.agent.discount is None; it must be a number"),
        (lambda c: c.log.update({"films": None}), "config.log.films is None; it must be True or False"),
        (lambda c: c.update({"method": None}), "config.method is None; it must be text"),
        (lambda c: c.update({"devices": -1}), "config.devices is -1; it must be 0"),
        (lambda c: [c.__delattr__(name) for name in list(c)], "config.method is missing"),
    ],
)
def test_a_config_with_other_fields_than_there_are_is_refused_before_anything_is_made(config, change, message):
    config = config.copy_and_resolve_references()
    config.run_folder += "_never"
    config.unlock()
    change(config)
    for function in (patchail_jax.train, functools.partial(patchail_jax.make_update, action_size=ACTIONS)):
        with pytest.raises(UserError, match=message):
            function(config)
    assert not Path(f"{config.get('run_folder')}").exists()


@pytest.mark.parametrize("method", [None, 3, ["patchail"]])
def test_a_method_is_named_by_text(method):
    with pytest.raises(UserError, match="no method .*Methods are patchail, "):
        quickstart.get_config(method)


SCRIPT = """
import patchail_jax
from patchail_jax.configs import quickstart

config = quickstart.get_config()
config.num_frames = 100
patchail_jax.train(config)
"""


def test_a_script_that_trains_without_asking_for_main_is_told_so_once(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    paths = os.pathsep.join([str(Path(patchail_jax.__file__).parents[1]), *filter(None, [os.getenv("PYTHONPATH")])])
    words, environment = [sys.executable, "script.py"], {**os.environ, "PYTHONPATH": paths}
    said = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert said.returncode == 1 and said.stderr.count("Traceback") == 1 and said.stderr.count("\n") < 12, said.stderr
    assert said.stderr.splitlines()[-1].startswith(
        "patchail_jax.errors.UserError: call train under if __name__ == '__main__': environments are processes"
    )


@pytest.mark.parametrize("size", [0, -1, "2", 1.5, True, 10**9])
def test_an_action_has_a_whole_number_of_entries(config, size):
    with pytest.raises(UserError, match="action_size is .*; it must be a whole number from 1 to 4096"):
        patchail_jax.make_update(config, action_size=size)


@pytest.fixture(scope="module")
def update(config):
    return patchail_jax.make_update(config, action_size=ACTIONS)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.0, "0", True, None])
def test_a_seed_is_one_of_the_whole_numbers_that_differ(update, seed):
    with pytest.raises(UserError, match="seed is .*; it must be a whole number from 0 to 4294967295"):
        update.init(seed)


def test_an_update_inside_of_another_trace_is_one_line(config, expert, update):
    batch, state = windows(config, expert, batch=config.replay.batch_size), update.init(0)
    stacks = np.zeros((1, SIDE, SIDE, 6), np.uint8)
    asked = "is traced by JAX: call this outside of jit, vmap and pmap"
    with pytest.raises(UserError, match=f"the state {asked}"):
        jax.jit(lambda state: update(state, *batch))(state)
    with pytest.raises(UserError, match=f"the state {asked}"):
        jax.vmap(lambda state: update.act(state, stacks))(jax.tree.map(lambda leaf: leaf[None], state))
    with pytest.raises(UserError, match=f"observations {asked}"):
        jax.jit(lambda stacks: update.act(state, stacks))(stacks)


def test_a_state_is_one_of_this_update_s_and_not_consumed(config, expert, update):
    batch = windows(config, expert, batch=config.replay.batch_size)
    stacks, frames = np.zeros((1, SIDE, SIDE, 6), np.uint8), np.asarray(expert.frames[0])
    other = of_method(config, "drqv2")
    strangers = [None, {}, 3, patchail_jax.make_update(other, action_size=1).init(0)]
    strangers.append(patchail_jax.make_update(config, action_size=ACTIONS + 1).init(0))
    consumed = update.init(0)
    state, _ = update(consumed, *batch)
    for odd, message in [(one, "the state is of no update of this") for one in strangers] + [
        (consumed, "the state was consumed by an update: go on with the state that the update returned")
    ]:
        for ask in (
            lambda odd=odd: update(odd, *batch),
            lambda odd=odd: update.act(odd, stacks),
            lambda odd=odd: update.reward(odd, frames),
        ):
            with pytest.raises(UserError, match=message):
                ask()
    stored = jax.device_get(state)  # as numpy arrays, from a file
    np.testing.assert_array_equal(update.reward(stored, frames), update.reward(state, frames))
    np.testing.assert_array_equal(update.act(stored, stacks), update.act(state, stacks))
    update(stored, *batch)


def test_what_is_returned_can_be_written_to(run, update):
    frames = run.frames("expert")
    stacks = np.zeros((1, SIDE, SIDE, 6), np.uint8)
    state = update.init(0)
    for found in (
        run.act(frames), run.act(frames[None]), run.reward(frames), run.patch_rewards(frames),
        *(run.explain(frames, kind) for kind in KINDS), *map(run.frames, ("expert", "agent", "random")),
        update.act(state, stacks), update.reward(state, frames),
    ):  # fmt: skip
        found += 1


def test_a_mask_is_not_lost_in_silence(config, expert, run, update):
    frames = np.ma.masked_array(run.frames("expert"), mask=False)
    agent, pairs = windows(config, expert, batch=config.replay.batch_size)
    state = update.init(0)
    for ask in (
        lambda: run.reward(frames),
        lambda: run.act(frames),
        lambda: update.reward(state, frames),
        lambda: update(state, agent._replace(frames=np.ma.masked_array(agent.frames)), pairs),
    ):
        with pytest.raises(UserError, match="frames is a masked array: fill it first"):
            ask()


def test_a_checkpoint_is_a_whole_number_and_an_input_a_name(run, config):
    for odd in (40.0, "40", True):
        with pytest.raises(UserError, match="must be a whole number"):
            patchail_jax.load_run(config.run_folder, checkpoint=odd)
    for odd in (["expert"], np.zeros(3), "", None, Path("expert"), "a" * 300, "a\0b"):
        with pytest.raises(UserError, match="no input"):
            run.frames(odd)
    for odd in ("", None, 3):
        with pytest.raises(UserError, match="path is .*; name the folder of a run"):
            patchail_jax.load_run(odd)
    with pytest.raises(UserError, match="cannot be made one array"):
        run.reward([np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(UserError, match="they must be uint8"):
        run.act(np.zeros((0, 5, SIDE, SIDE, 3), np.uint8))


def test_a_run_below_the_home_folder_is_opened_by_the_name_that_training_gave(run, config, monkeypatch):
    monkeypatch.setenv("HOME", str(Path(config.run_folder).parent))
    assert patchail_jax.load_run(f"~/{Path(config.run_folder).name}").frame == run.frame


def test_the_first_of_a_file_of_demonstrations_is_judged(run, expert, config, tmp_path):
    metadata = {"task": config.env.task, "action_repeat": config.env.action_repeat}
    trajectory.save(tmp_path / "own.npz", Trajectories(None, None, None, metadata, frames=np.asarray(expert.frames)))
    for name in (str(tmp_path / "own.npz"), tmp_path / "own.npz"):
        np.testing.assert_array_equal(run.frames(name), run.frames("expert"))


def of_method(config, method):
    """``config`` with what the preset of ``method`` sets."""
    config = config.copy_and_resolve_references()
    apply_preset(config, method)
    config.replay.update({"capacity": 1_000, "rescore_updates": 0})
    config.reward.moment = "at_update"
    return config


def test_a_method_that_sees_no_images_is_refused(config):
    config = of_method(config, "drqv2_features")
    with pytest.raises(UserError, match="make_update is for methods that see images; train drqv2_features by"):
        patchail_jax.make_update(config, action_size=ACTIONS)


def test_pairs_of_laifo_are_n_steps_apart(config, expert):
    config = of_method(config, "laifo")
    update = patchail_jax.make_update(config, action_size=ACTIONS)
    agent, pairs = windows(config, expert, batch=config.replay.batch_size)
    _, metrics = update(update.init(0), agent, pairs)
    assert np.isfinite(float(metrics["critic/loss"]))
    with pytest.raises(UserError, match="expert.frames is .*; the config asks for"):
        update(update.init(0), agent, pairs._replace(frames=pairs.frames[:, 1:]))


@pytest.mark.parametrize("successor", ["one_step", "n_step"])  # of the update's pairs, not of a demonstration's
def test_a_method_that_reads_a_demonstration_is_not_run_without_one(config, expert, successor):
    config = of_method(config, "patchail_w")
    config.similarity.expert_pairs, config.discriminator.expert_successor = "trajectory", successor
    update = patchail_jax.make_update(config, action_size=ACTIONS)
    batch = windows(config, expert, batch=config.replay.batch_size)
    with pytest.raises(
        UserError, match=r"demonstration is uint8 .0, 3, 16, 16, 3.; the config asks for uint8 .M, 3, 16"
    ):
        update(update.init(0), *batch)
    pairs = np.stack([expert.frames[0, start : start + 3] for start in range(STEPS)])
    _, metrics = update(update.init(0), *batch, pairs)
    assert 0 < float(metrics["reward/similarity"]) <= 1


def test_the_names_come_without_jax_until_they_are_used():
    code = (
        "import sys, patchail_jax; assert 'jax' not in sys.modules; patchail_jax.load_run; assert 'jax' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'lode_run'"):
        patchail_jax.lode_run  # noqa: B018


def test_the_example_is_a_run_that_has_learned(tmp_path):
    """Its policy spins, its rewards are higher for the expert than for a random policy, and it opens by its folder."""
    example = patchail_jax.load_run(Path(__file__).parents[1] / "examples/finger_spin")
    assert example.frame == 276_768 and example.config.env.image_size == 84
    with np.load(Path(__file__).parent / "data/finger_spin_84.npz") as stored:
        expert, random = stored["expert"], stored["random"]
    # The first steps of a piece see its first frame repeated, which stands still.
    assert example.reward(expert)[2:].min() > 0 > example.reward(random).max()
    assert np.abs(example.act(expert[:3])).max() <= 1
