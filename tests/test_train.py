"""The whole program in small: what it leaves behind, and that stopping it anywhere changes nothing."""

import contextlib
import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

from patchail_jax import loop
from patchail_jax.acting.actors import Actors
from patchail_jax.demos import trajectory
from patchail_jax.devices.data_parallel import Devices
from patchail_jax.envs import dmc, rendering
from patchail_jax.errors import UserError
from patchail_jax.main import run
from patchail_jax.outputs.optional import OptionalOutputs
from patchail_jax.programs.command_line import parse
from patchail_jax.programs.train import train
from patchail_jax.run import design, summary
from patchail_jax.run.clock import Clock
from patchail_jax.run.design import load_experts
from patchail_jax.run.evaluations import Evaluations
from patchail_jax.run.reopened import open_trained
from patchail_jax.run.snapshot import Snapshot
from patchail_jax.storage.checkpoints import Checkpoints
from patchail_jax.storage.run_config import MAY_DIFFER
from patchail_jax.storage.run_folder import RunFolder, open_run

pytestmark = pytest.mark.usefixtures("shared_programs")

SMALL = [
    "--config.num_frames=800",
    "--config.env.image_size=16",
    "--config.env.episode_frames=80",
    "--config.env.workers=inline",
    "--config.demos.num_demonstrations=1",
    "--config.replay.batch_size=8",
    "--config.replay.expert_batch_size=4",
    "--config.replay.capacity=60",
    "--config.agent.random_steps=10",
    "--config.agent.first_update_step=20",
    "--config.network.encoder_channels=4",
    "--config.network.hidden_size=16",
    "--config.discriminator.channels=4",
    "--config.agent.decay.start=10",
    "--config.agent.decay.updates=50",
    "--config.discriminator.decay.start=20",
    "--config.discriminator.decay.updates=50",
    "--config.evaluation.every_frames=240",
    "--config.evaluation.episodes=2",
    "--config.checkpoint.every_frames=320",
    "--config.log.every_updates=15",
    "--config.log.picture=False",
    "--config.log.films=False",
]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """Rendered before any test listens to the console, so that each may be the first."""
    folder = tmp_path_factory.mktemp("demonstrations")
    load_experts(parse(arguments(folder, folder)).config, action_size=1)
    return folder


def arguments(folder, cache, *overrides, method="patchail"):
    fixed = [f"--config.run_folder={folder}", f"--config.demos.cache_dir={cache}", "--config.devices=1"]
    if method not in ("bc", "rot", "drqv2_features"):  # theirs is the demonstrations'
        fixed.append("--config.env.action_repeat=8")
    return ["patchail", f"--config=configs/quickstart.py:{method}", *SMALL, *fixed, *overrides]


def lines(folder):
    """Everything logged but wall time and memory."""
    timed = ("hour", "time/", "memory/")
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.startswith(timed)} for line in logged]


def last_checkpoint(folder):
    """Every array of the newest checkpoint of a finished run, and its counters."""
    checkpoints = Checkpoints(folder / "checkpoints", keep=2)
    step = max(checkpoints._manager.all_steps())
    restored = checkpoints._manager.restore(step)
    return step, restored["state"], restored["arrays"]


def updates_of(state):
    """The learner's count of updates in a checkpoint's state, wherever the method keeps it."""
    (count,) = (value for name, value in state.items() if name.split(".")[-1] == "update")
    return int(count)


def assert_same_run(one, other):
    assert lines(one) == lines(other)
    (step, *arrays), (other_step, *other_arrays) = last_checkpoint(one), last_checkpoint(other)
    assert step == other_step
    for stored, other_stored in zip(arrays, other_arrays, strict=True):
        assert stored.keys() == other_stored.keys()
        jax.tree.map(np.testing.assert_array_equal, stored, other_stored)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, cache):
    """One run that nobody disturbs, and that moves nothing to the devices but where it says so."""
    folder, step = tmp_path_factory.mktemp("whole"), loop.step

    def guarded(run):
        with jax.transfer_guard("disallow"):
            step(run)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "step", guarded)
        train(parse(arguments(folder, cache)).config)
    return folder


def test_a_run_leaves_its_numbers_behind(whole):
    with (whole / "eval.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["frame"]) for row in rows] == [0, 240, 480, 720, 800]
    assert {(row["agent"], row["task"], row["seed"]) for row in rows} == {("patchail", "cartpole_swingup", "0")}
    logged = [line for line in lines(whole) if line["kind"] == "train"]
    assert [line["update"] for line in logged] == [15, 30, 45, 60, 75]
    for line in logged:
        assert {"discriminator/penalty", "critic/loss", "actor/loss", "reward/mean"} <= line.keys()
    assert json.loads((whole / "config.json").read_text())["env"]["task"] == "cartpole_swingup"


@pytest.mark.parametrize("moment", [43, 75])
def test_a_run_that_dies_and_starts_again_is_the_same_run(whole, cache, tmp_path, monkeypatch, moment):
    step = loop.step

    def die(run):
        if run.clock.agent_step == moment:
            raise RuntimeError("killed")
        step(run)

    config = parse(arguments(tmp_path / "run", cache)).config
    with monkeypatch.context() as patched:
        patched.setattr(loop, "step", die)
        with pytest.raises(RuntimeError, match="killed"):
            train(config)
    assert len(lines(tmp_path / "run")) < len(lines(whole))
    train(config)
    assert_same_run(whole, tmp_path / "run")


@pytest.mark.parametrize(
    ("method", "pretraining", "moment"), [("bc", 0, 60), ("rot", 24, 70), ("bco", 0, 40), ("laifo", 0, 40)]
)
def test_other_methods_die_and_go_on_as_well(cache, tmp_path, monkeypatch, method, pretraining, moment):
    words = [
        "--config.num_frames=400",
        "--config.checkpoint.every_frames=100",
        "--config.evaluation.every_frames=100",
        f"--config.cloning.pretraining_updates={pretraining}",
    ]
    step = loop.step

    def die(run):
        if run.clock.agent_step == moment:
            raise RuntimeError("killed")
        step(run)

    for folder, killed in (("whole", False), ("run", True)):
        config = parse(arguments(tmp_path / folder, cache, *words, method=method)).config
        if killed:
            with monkeypatch.context() as patched:
                patched.setattr(loop, "step", die)
                with pytest.raises(RuntimeError, match="killed"):
                    train(config)
        train(config)
    assert_same_run(tmp_path / "whole", tmp_path / "run")
    logged, repeat = lines(tmp_path / "run"), config.env.action_repeat
    wanted = [-(-frame // repeat) * repeat for frame in (0, 100, 200, 300, 400)]
    assert [line["frame"] for line in logged if line["kind"] == "evaluation"] == wanted
    state, arrays = last_checkpoint(tmp_path / "run")[1:]
    learning = 400 // config.env.action_repeat - config.agent.first_update_step
    assert updates_of(state) >= pretraining + learning // config.agent.steps_per_update
    assert (arrays["replay.frames"].shape[0] > 0) == (method != "bc")
    if method == "rot":
        assert state["reward_scale"] > 0 and (arrays["replay.rewards"] <= 0).all()


def stopping(monkeypatch, due):
    """A signal comes when ``due(run)`` says so."""
    real = loop.save_and_stop
    monkeypatch.setattr(
        loop, "save_and_stop", lambda run, stop, **how: real(run, lambda: signal.SIGTERM if due(run) else None, **how)
    )


ROT = ["--config.num_frames=300", "--config.cloning.pretraining_updates=24", "--config.evaluation.every_frames=300"]


def test_stops_and_kills_in_pretraining_lose_nothing_that_was_saved(cache, tmp_path, monkeypatch, capsys):
    train(parse(arguments(tmp_path / "whole", cache, *ROT, method="rot")).config)
    words = arguments(tmp_path / "run", cache, *ROT, "--config.checkpoint.every_updates=8", method="rot")
    for update in (5, 11):  # each stop goes on from the one before
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            stopping(patched, lambda run, update=update: run.clock.update == update)
            train(parse(words).config)
        assert newest_number(tmp_path / "run") == update

    def die(run, stop, **how):
        if run.clock.update == 20:
            raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed"):
        patched.setattr(loop, "save_and_stop", die)
        train(parse(words).config)
    assert newest_number(tmp_path / "run") == 16  # the last multiple of 8
    train(parse(words).config)
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def newest_number(folder):
    return max(int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdecimal())


def test_a_stop_waits_for_no_evaluation_which_is_made_again_after_the_resume(whole, cache, tmp_path, monkeypatch):
    words = arguments(tmp_path / "run", cache, "--config.env.workers=process")
    slow, begun = Evaluations._score, threading.Event()

    def never_ends(self, policy, state, frame):
        if frame == 240:
            begun.set()
            self._ending.wait()
        return slow(self, policy, state, frame)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Evaluations, "_score", never_ends)
        stopping(patched, lambda run: run.clock.frame == 264 and begun.wait(60))
        train(parse(words).config)
    assert begun.is_set() and [line["frame"] for line in lines(tmp_path / "run") if line["kind"] == "evaluation"] == [0]
    train(parse(words).config)
    assert sorted_lines(tmp_path / "run") == sorted_lines(whole)


def sorted_lines(folder):
    """``lines`` in the order of frames: an evaluation beside the training is logged when it is done."""
    return sorted(lines(folder), key=lambda line: (line["kind"], line["frame"]))


def evaluated(folder):
    with (folder / "eval.csv").open() as stream:
        return [int(row["frame"]) for row in csv.DictReader(stream)]


@pytest.mark.parametrize("endless", [720, 800])
def test_a_stop_at_the_end_waits_for_no_evaluation_either(whole, cache, tmp_path, monkeypatch, endless):
    words = arguments(tmp_path / "run", cache, "--config.env.workers=process")
    score, going_on = Evaluations._score, []

    def long(self, policy, state, frame):
        for _ in range(600 * (frame == endless)):
            going_on.append(frame)
            if self._ending.wait(0.1):
                break
        return score(self, policy, state, frame)

    for _ in range(2):  # the second one stops what the first one's resume made again
        going_on.clear()
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Evaluations, "_score", long)
            stopping(patched, lambda run: run.clock.finished and going_on)
            train(parse(words).config)
        assert not (tmp_path / "run" / "finished.json").exists() and endless not in evaluated(tmp_path / "run")
    train(parse(words).config)
    assert sorted_lines(tmp_path / "run") == sorted_lines(whole)
    assert evaluated(tmp_path / "run") == evaluated(whole) and (tmp_path / "run" / "finished.json").exists()


def test_a_stop_in_a_last_evaluation_that_is_not_beside_the_training_is_heard_after_it(
    whole, cache, tmp_path, monkeypatch
):
    words = arguments(tmp_path / "run", cache)
    score, scored = Evaluations._score, []

    def note(self, policy, state, frame):
        scored.append(frame)
        return score(self, policy, state, frame)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Evaluations, "_score", note)
        stopping(patched, lambda run: 800 in scored)
        train(parse(words).config)
    assert not (tmp_path / "run" / "finished.json").exists()
    train(parse(words).config)
    assert_same_run(whole, tmp_path / "run")
    assert evaluated(tmp_path / "run") == evaluated(whole)


@pytest.mark.parametrize("place", ["pictures", "finish"])
def test_a_run_killed_after_its_last_step_gets_its_pictures_and_no_row_twice(
    whole, cache, tmp_path, monkeypatch, place
):
    words = arguments(tmp_path / "run", cache, "--config.log.picture=True")

    def die(*rest, **named):
        raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed"):
        if place == "pictures":
            patched.setattr(summary, "learning_curve", die)
            patched.setattr(OptionalOutputs, "looked_at", lambda self, kind: contextlib.nullcontext())
        else:
            patched.setattr(RunFolder, "finish", die)
        train(parse(words).config)
    shutil.rmtree(tmp_path / "run" / "pictures")
    train(parse(words).config)
    assert (tmp_path / "run" / "pictures" / "patch_rewards.png").exists()
    assert_same_run(whole, tmp_path / "run")
    assert evaluated(tmp_path / "run") == evaluated(whole) and (tmp_path / "run" / "finished.json").exists()


@pytest.mark.parametrize("met_first_by", ["evaluation", "scoring", "scoring alone", "acting"])
def test_what_is_no_number_is_one_line_with_its_update_wherever_it_is_met_first(
    cache, tmp_path, capsys, monkeypatch, met_first_by
):
    """The critic's rate breaks the first update; the log would look at it after a thousand."""
    words = ["--config.agent.critic_learning_rate=1e30", "--config.log.every_updates=1000"]
    words += ["--config.checkpoint.every_frames=0", "--config.evaluation.every_frames=240"]
    if met_first_by != "acting":  # the training's own actions stay numbers
        real = Actors.step
        monkeypatch.setattr(Actors, "step", lambda self, chosen: real(self, np.nan_to_num(np.asarray(chosen))))
    if met_first_by.startswith("scoring"):
        update, label, updated = Devices.update, Devices.label, []
        monkeypatch.setattr(Devices, "update", lambda self, *rest: (updated.append(1), update(self, *rest))[1])

        def broken(self, state, *rest, **named):
            state, rewards = label(self, state, *rest, **named)
            return state, np.nan * rewards if updated else rewards

        monkeypatch.setattr(Devices, "label", broken)
    if met_first_by == "scoring alone":  # what the updates measured is of the networks before the last one, and finite
        words = [word for word in words if "critic_learning_rate" not in word]
    error = fail(capsys, arguments(tmp_path, cache, *words))
    assert ("after update" if met_first_by == "scoring alone" else "at update") in error and "batch_of_update_" in error


@pytest.mark.parametrize("keep", [1, 2])
def test_a_state_that_is_no_number_is_not_saved_over_one_that_is(cache, tmp_path, capsys, monkeypatch, keep):
    """The scalars are finite: they are of the networks before the update that broke them."""
    save, saves = Snapshot.save, []

    def breaks(self, **named):
        saves.append(1)
        if len(saves) == 2:
            self.learner.load(jax.tree.map(lambda leaf: np.asarray(leaf) * np.nan, self.learner.state))
        return save(self, **named)

    monkeypatch.setattr(Snapshot, "save", breaks)
    words = ["--config.num_frames=480", "--config.checkpoint.every_frames=240", f"--config.checkpoint.keep={keep}"]
    error = fail(capsys, arguments(tmp_path, cache, *words, method="drqv2"))
    assert "the learner's state has values that are not finite after update" in error and "batch_of_update_" in error
    assert open_trained(tmp_path).frame == 240 and not (tmp_path / "finished.json").exists()


def test_a_run_folder_that_somebody_removes_is_made_anew(cache, tmp_path, caplog, monkeypatch):
    folder, advance = tmp_path / "run", Clock.advance
    words = arguments(folder, cache, "--config.num_frames=480", "--config.checkpoint.every_frames=240", method="drqv2")

    def removed(self, steps):
        advance(self, steps)
        if self.frame == 160:
            shutil.rmtree(folder)

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(Clock, "advance", removed)
        train(parse(words).config)
    assert "was removed while the run went on" in caplog.text
    assert open_trained(folder).frame == 480 and (folder / "finished.json").exists()
    rows = (folder / "eval.csv").read_text().splitlines()
    assert rows[0].startswith("agent,task,seed,frame") and len(rows) >= 2
    config = parse(words).config
    config.seed = 1
    with pytest.raises(UserError, match="holds a run with seed=0"):
        train(config)


@pytest.mark.parametrize("noticed_by", ["a log line", "a checkpoint"])
def test_a_run_ends_where_another_has_begun_in_its_folder(cache, tmp_path, monkeypatch, noticed_by):
    folder, advance, others = tmp_path / "run", Clock.advance, []
    words = arguments(folder, cache, "--config.num_frames=480", "--config.checkpoint.every_frames=240", method="drqv2")
    words += ["--config.log.every_updates=0"] * (noticed_by == "a checkpoint")
    config = parse(words).config.to_dict()

    def removed(self, steps):
        advance(self, steps)
        if self.frame == 160 and not others:
            shutil.rmtree(folder)
            others.append(open_run(folder, config=config))
            others[0].describe(config)

    monkeypatch.setattr(Clock, "advance", removed)
    with pytest.raises(UserError, match="another run has begun there: this one ends") as error:
        train(parse(words).config)
    others[0].close()
    assert {path.name for path in folder.iterdir()} <= {"lock", "config.json", "versions.json", "checkpoints"}
    assert not list(folder.glob("checkpoints/*")) and "\n" not in str(error.value)


def test_actions_that_nobody_knows_are_asked_for_in_one_line(cache, tmp_path, capsys):
    for method, override in (
        ("bc", "--config.env.action_repeat=4"),
        ("patchail", "--config.cloning.weight_initial=1.0"),
    ):
        error = fail(capsys, arguments(tmp_path / method, cache, override, method=method))
        assert "the expert's actions are not known at action repeat" in error


def test_a_signal_saves_and_the_same_command_goes_on(whole, cache, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "patchail_jax.main", *arguments(folder, cache)[1:]]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("train"):
            process.send_signal(signal.SIGTERM)
            break
    output = process.stdout.read()
    assert process.wait(60) == 128 + signal.SIGTERM, output
    assert "stopped and saved" in output
    assert len(lines(folder)) < len(lines(whole))
    train(parse(arguments(folder, cache)).config)
    assert_same_run(whole, folder)


def test_a_finished_run_started_again_stays_as_it_is(whole, cache):
    before = lines(whole)
    train(parse(arguments(whole, cache)).config)
    assert lines(whole) == before


def test_a_finished_run_that_is_asked_for_fewer_frames_keeps_its_length(whole, cache, tmp_path):
    copy = shutil.copytree(whole, tmp_path / "run")
    run(arguments(copy, cache, "--config.num_frames=240"))
    for name in ("config.json", "finished.json", "eval.csv", "versions.json"):
        kept = json.loads((copy / name).read_text()) if name == "config.json" else (copy / name).read_text()
        before = (whole / name).read_text()
        assert kept == (json.loads(before) if name == "config.json" else before), name


def test_a_finished_run_without_its_checkpoints_keeps_its_curves(cache, tmp_path, capsys):
    words = arguments(tmp_path, cache, "--config.num_frames=320", method="drqv2")
    train(parse(words).config)
    shutil.rmtree(tmp_path / "checkpoints")
    kept = {name: (tmp_path / name).read_bytes() for name in ("metrics.jsonl", "eval.csv")}
    assert "is a finished run whose checkpoints are gone" in fail(capsys, words)
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept


@pytest.mark.parametrize("at_the_end", [False, True])
def test_what_a_full_disk_did_not_take_is_not_said_to_be_saved(cache, tmp_path, monkeypatch, capsys, at_the_end):
    words = arguments(
        tmp_path, cache, "--config.num_frames=480", "--config.checkpoint.every_frames=240", method="drqv2"
    )
    save, full = Checkpoints.save, [False]
    monkeypatch.setattr(Checkpoints, "save", lambda *given, **named: not full[0] and save(*given, **named))

    def fills(run):
        full[0] = run.clock.finished if at_the_end else run.clock.frame >= 300
        return full[0] and not at_the_end

    with monkeypatch.context() as patched:
        stopping(patched, fills)
        message = fail(capsys, words, status=1)
    assert "Free some space" in message and "stopped and saved" not in message
    assert ("the run has not ended" if at_the_end else "nothing could be saved") in message
    assert not (tmp_path / "finished.json").exists() and open_trained(tmp_path).frame == 240
    full[0] = False
    train(parse(words).config)
    assert (tmp_path / "finished.json").exists() and open_trained(tmp_path).frame == 480


def test_a_start_that_does_not_fit_leaves_the_run_as_it_was(cache, tmp_path, capsys):
    plain = arguments(tmp_path, cache, "--config.agent.decay.updates=0", "--config.num_frames=320", method="drqv2")
    train(parse(plain).config)
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["agent"]["decay"]  # as of a version without it
    (tmp_path / "config.json").write_text(json.dumps(stored))
    assert "actor_optimizer" in fail(capsys, [*plain, "--config.agent.decay.updates=50"])
    assert json.loads((tmp_path / "config.json").read_text()) == stored
    assert open_trained(tmp_path).frame == 320
    train(parse([*plain, "--config.num_frames=400"]).config)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["agent"]["decay"]["updates"] == 0 and stored["num_frames"] == 400


@pytest.mark.parametrize("overrides", [["--config.env.num_envs=3"], ["--config.replay.updates_per_call=4"]])
@pytest.mark.parametrize("method", ["drqv2"])
def test_one_update_every_few_steps_however_they_are_made(cache, tmp_path, method, overrides):
    train(parse(arguments(tmp_path, cache, "--config.agent.steps_per_update=2", *overrides, method=method)).config)
    _, _, arrays = last_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    per_call, envs = config["replay"]["updates_per_call"], config["env"]["num_envs"]
    steps = -(-100 // envs) * envs
    state = last_checkpoint(tmp_path)[1]
    # The updates of the step that is being played are made during it, hence the step before last counts.
    expected = (steps - envs - 20) // 2 + 1
    assert updates_of(state) == expected // per_call * per_call
    assert len(arrays["replay.frames"]) > 0


def test_rewards_scored_at_episode_end_reach_replay_and_the_task_s_never_do(cache, tmp_path):
    for moment in ("at_update", "at_episode_end"):
        folder = tmp_path / moment
        words = [f"--config.reward.moment={moment}", "--config.replay.rescore_updates=0", "--config.num_frames=320"]
        train(parse(arguments(folder, cache, *words)).config)
        rewards = last_checkpoint(folder)[2]["replay.rewards"]
        # cartpole's own rewards are in [0, 8] and never 0 for long; AIRL's may be anything but are never all equal.
        assert (rewards == 0).all() if moment == "at_update" else len(np.unique(rewards)) > 10


def test_a_run_whose_environment_is_killed_goes_on_and_counts_it(cache, tmp_path, monkeypatch):
    step = loop.step

    def kill(run):
        if run.clock.agent_step == 24:
            os.kill(run.actors._collector._pool._processes[0].pid, signal.SIGKILL)
        step(run)

    monkeypatch.setattr(loop, "step", kill)
    train(parse(arguments(tmp_path, cache, "--config.env.workers=process", "--config.num_frames=480")).config)
    logged = [line for line in lines(tmp_path) if line["kind"] == "train"]
    assert [line["episode/lost"] for line in logged][-1] == 1
    assert lines(tmp_path)[-1]["kind"] == "evaluation" and (tmp_path / "finished.json").exists()


def fail(capsys, words, status=2):
    """What ``words`` print as their one line of error, whatever was on the console before."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        run(words)
    assert stop.value.code == status
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_a_run_that_learned_nothing_says_why(cache, tmp_path, caplog):
    train(parse(arguments(tmp_path, cache, "--config.num_frames=80", "--config.agent.first_update_step=500")).config)
    assert "nothing was learned: the run has 80 frames, and its first update comes after 4,000" in caplog.text


def test_numbers_that_are_not_finite_stop_the_run_with_the_update_named(cache, tmp_path, capsys):
    error = fail(capsys, arguments(tmp_path, cache, "--config.agent.critic_learning_rate=1e30"))
    assert "critic/" in error or "actor/" in error
    assert "update" in error
    kept = Checkpoints(tmp_path / "checkpoints", keep=2)._manager.all_steps()
    assert all(step < 25 for step in kept)  # nothing was saved after the numbers went bad
    (file,) = tmp_path.glob("batch_of_update_*.npz")
    assert str(file) in error
    with np.load(file) as batch:
        assert batch["agent.frames"].shape == (1, 1, 8, 5, 16, 16, 3) and batch["expert.frames"].shape[:3] == (1, 1, 4)
        assert not np.isfinite([batch[name] for name in batch.files if name.startswith("metrics/")]).all()


def test_an_actor_that_has_saturated_is_said_once(cache, tmp_path, capsys):
    words = ["--config.agent.actor_learning_rate=100.0", "--config.agent.preactivation_penalty=0.0"]
    run(arguments(tmp_path, cache, *words))
    console = capsys.readouterr().out
    assert console.count("learns no more") == 1 and "actor_learning_rate" in console
    norms = [line["actor/gradient_norm"] for line in lines(tmp_path) if line["kind"] == "train"]
    assert norms.count(0.0) > 1


def test_replay_is_scored_anew_every_so_many_updates(cache, tmp_path):
    # 80 updates in all; the last episode ends, and is scored, after the last of them.
    train(parse(arguments(tmp_path, cache, "--config.replay.rescore_updates=40")).config)
    trained = open_trained(tmp_path)
    arrays = last_checkpoint(tmp_path)[2]
    assert int(trained.state.learner.update) == 80 and len(arrays["replay.episodes"]) > 1
    frames, rewards = arrays["replay.frames"], arrays["replay.rewards"]
    for start in range(0, len(frames), 11):  # 10 steps an episode
        _, scores = trained.devices.label(trained.state, frames[start : start + 11])
        np.testing.assert_allclose(rewards[start : start + 10], scores, rtol=1e-5)


def test_rewards_that_are_not_stored_cannot_be_scored_anew(cache, tmp_path, capsys):
    words = ["--config.replay.rescore_updates=5"]
    advice = fail(capsys, arguments(tmp_path, cache, *words, method="laifo"))
    assert "set it to 0" in advice and "at_episode_end" not in advice
    words.append("--config.reward.moment=at_update")
    assert "at_episode_end" in fail(capsys, arguments(tmp_path, cache, *words))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--config.env.task=cheeta_run", "did you mean cheetah_run"),
        ("--config.demos.path=/nowhere.npz", "/nowhere.npz"),
        ("--config.env.action_repeat=3", "config.env.action_repeat must be a multiple"),
        ("--config.replay.expert_batch_size=3", "multiple of"),
        ("--config.replay.capacity=100000000000", "GiB"),
        ("--config.env.workers=threads", "process, inline"),
        ("--config.discriminator.kernel_size=40", "too small"),
        ("--config.reward.form=wgan", "airl"),
        ("--config.network.precision=float8", "bfloat16"),
        ("--config.env.observation=features", "imitates pixels"),
        ("--config.env.observation=sounds", "pixels, features"),
        ("--config.cloning.pretraining_updates=5", "not pre-trained"),
        ("--config.cloning.schedule=exponential", "config.cloning.weight_initial, which is 0"),
        ("--config.cloning.weight_factor=0", "0.001 to 1.0"),
    ],
)
def test_bad_input_is_one_line_and_status_two(cache, tmp_path, capsys, override, message):
    assert message in fail(capsys, arguments(tmp_path, cache, override))
    assert {path.name for path in tmp_path.iterdir()} <= {"lock"}  # no log, and no dashboard's run


def test_a_value_that_was_wrong_can_be_put_right_on_the_same_folder(cache, tmp_path, capsys):
    fail(capsys, arguments(tmp_path, cache, "--config.reward.form=wgan"))
    train(parse(arguments(tmp_path, cache, "--config.num_frames=80")).config)
    assert (tmp_path / "finished.json").exists()


@pytest.mark.parametrize(
    ("field", "value", "bounds"),
    [
        ("evaluation.every_frames", -1, "0 (at the end alone) or more"),
        ("log.every_updates", -5, "0 (never) to 10000"),
        ("seed", -1, "0 to 4294967295"),
        ("replay.updates_per_call", 0, "1 to 10000"),
        ("network.hidden_size", 10**9, "1 to 65536"),
        ("env.image_size", 10**6, "1 to 4096"),
        ("env.num_envs", 0, "1 to 4096"),
        ("evaluation.episodes", 0, "1 or more"),
        ("replay.capacity", 9, "an episode: it must be 10 or more"),
        ("replay.n_step", 11, "the 10 steps of an episode"),
        ("agent.discount", 1.5, "0.0 to 1.0"),
        ("agent.critic_learning_rate", "nan", "0.0 or more"),
        ("agent.std_duration", 2**31, "1 to 2147483647"),
    ],
)
def test_a_number_out_of_bounds_names_its_field_and_what_it_may_be(cache, tmp_path, capsys, field, value, bounds):
    error = fail(capsys, arguments(tmp_path / "run", cache, f"--config.{field}={value}"))
    assert f"config.{field} is {value}" in error and bounds in error
    assert not (tmp_path / "run" / "config.json").exists()


def test_nothing_in_between_where_the_numbers_say_never(cache, tmp_path):
    never = ["evaluation.every_frames", "log.every_updates", "checkpoint.every_frames"]
    train(parse(arguments(tmp_path, cache, *(f"--config.{field}=0" for field in never))).config)
    logged = lines(tmp_path)
    assert [(line["kind"], line["frame"]) for line in logged] == [("evaluation", 800)]
    assert last_checkpoint(tmp_path)[0] == 100


def test_another_config_on_the_same_folder_is_refused(whole, cache, capsys):
    assert "seed=0, not 1" in fail(capsys, arguments(whole, cache, "--config.seed=1"))


def test_what_may_differ_are_fields_that_exist(cache, tmp_path):
    config = parse(arguments(tmp_path, cache)).config
    for name in MAY_DIFFER:
        value = config
        for part in name.split("."):
            value = value[part]


def test_an_expert_drawn_by_another_renderer_is_refused_unless_the_config_allows_it(
    cache, tmp_path, capsys, monkeypatch
):
    real = rendering.opengl_name()
    monkeypatch.setattr(design, "opengl_name", lambda: "another GPU")
    words = ["--config.num_frames=80", "--config.env.workers=process"]
    error = fail(capsys, arguments(tmp_path, cache, *words))
    assert f"the expert is drawn by another GPU and the agent by {real}" in error
    assert "config.demos.other_renderer=True" in error and not (tmp_path / "config.json").exists()
    run([*arguments(tmp_path, cache, *words), "--config.demos.other_renderer=True"])
    said = capsys.readouterr().out
    assert f", {real}\n" in said.splitlines(keepends=True)[0]
    assert "the expert is drawn by another GPU" in said
    train(parse(arguments(tmp_path / "task_reward", cache, *words, method="drqv2")).config)  # it has no expert


def test_a_run_that_goes_on_with_another_renderer_says_so(cache, tmp_path, caplog, monkeypatch):
    real = rendering.opengl_name()
    words = arguments(tmp_path, cache, "--config.num_frames=80")
    train(parse(words).config)
    monkeypatch.setattr(dmc, "renderer_name", lambda physics: "another GPU")
    monkeypatch.setattr(design, "opengl_name", lambda: "another GPU")
    for frames in (160, 240):
        caplog.clear()
        train(parse([*words, f"--config.num_frames={frames}"]).config)
        assert caplog.text.count(f"began with frames drawn by {real} and resumes with another GPU") == 1
    versions = json.loads((tmp_path / "versions.json").read_text())
    assert (versions["first_renderer"], versions["renderer"]) == (real, "another GPU")
    monkeypatch.undo()
    caplog.clear()
    train(parse([*words, "--config.num_frames=320"]).config)
    assert "resumes with" not in caplog.text


@pytest.mark.parametrize("colours", ["as they are", "exchanged"])
def test_an_expert_in_other_colours_is_told_from_an_expert_that_behaves(cache, tmp_path, caplog, colours):
    config = parse(arguments(tmp_path, cache, "--config.demos.num_demonstrations=6")).config
    frames = load_experts(config, action_size=1).frames[:, :11]
    own = trajectory.Trajectories(
        None,
        None,
        None,
        {"task": "cartpole_swingup", "action_repeat": 8},
        frames=frames[..., ::-1].copy() if colours == "exchanged" else frames,
    )
    trajectory.save(tmp_path / "own.npz", own)
    words = [
        f"--config.demos.path={tmp_path / 'own.npz'}",
        "--config.demos.num_demonstrations=6",
        "--config.discriminator.learning_rate=0.01",
        "--config.discriminator.penalty_weight=0.0",
        "--config.discriminator.decay.updates=0",
        "--config.evaluation.every_frames=0",
    ]
    train(parse(arguments(tmp_path / "run", cache, *words)).config)
    said = caplog.text.count("at the first step of episodes")
    assert said == (colours == "exchanged")
    accuracies = [line["discriminator/accuracy"] for line in lines(tmp_path / "run") if line["kind"] == "train"]
    assert max(accuracies) > (0.99 if said else 0.5)
