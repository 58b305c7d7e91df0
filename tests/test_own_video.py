"""From a film to an agent and its pictures, and from an agent to demonstrations, as the README tells it."""

import fcntl

import numpy as np
import pytest

from patchail_jax.demos import import_lerobot, render, trajectory
from patchail_jax.demos.gathering import Request
from patchail_jax.envs.view import View
from patchail_jax.errors import UserError
from patchail_jax.outputs.video import write_video
from patchail_jax.programs import demos
from patchail_jax.programs.command_line import parse
from patchail_jax.programs.doctor import main as doctor
from patchail_jax.programs.explain import main as explain
from patchail_jax.programs.train import train
from patchail_jax.run.design import load_experts
from tests.test_train import arguments, cache, fail, last_checkpoint, lines  # noqa: F401

pytestmark = pytest.mark.usefixtures("shared_programs")

ROBOT = [
    "--config.env.task=corridor",
    "--config.env.factory=tests.envs.fakes:corridor",
    "--config.env.action_repeat=1",
    "--config.num_frames=60",
    "--config.replay.capacity=100",  # an episode may take 80 steps
]


@pytest.fixture(scope="module")
def imitator(tmp_path_factory, cache):  # noqa: F811
    """A run on a film of the shipped expert, and the file that was made of the film."""
    folder = tmp_path_factory.mktemp("own_video")
    expert = trajectory.subsample(trajectory.load(trajectory.shipped("cartpole_swingup")).first(1), 8)
    expert = expert._replace(states=expert.states[:, :60])
    frames = render.render(expert, View("cartpole_swingup", 8, image_size=48, quality="fast"), cache_dir=cache)
    film, demonstrations = folder / "my_video.mp4", folder / "my_video.npz"
    write_video(film, frames[0], fps=12.5)  # as fast as it happened: 8 control steps of 10 ms a frame
    converted = ["--task", "cartpole_swingup", "--action_repeat", "8", "--image_size", "16"]
    demos.main(["convert", "video", str(film), str(demonstrations), *converted])
    demos.main(["inspect", str(demonstrations), *converted])
    own = [f"--config.demos.path={demonstrations}", "--config.env.look=video", "--config.env.look_size=48"]
    run = folder / "run"
    train(parse(arguments(run, cache, *own, "--config.num_frames=320", "--config.log.picture=True")).config)
    return run, demonstrations


def test_a_film_becomes_an_agent_and_its_pictures(imitator):
    run, demonstrations = imitator
    assert trajectory.load(demonstrations).frames.shape == (1, 60, 16, 16, 3)
    assert demonstrations.with_suffix(".png").stat().st_size > 0
    for name in ("patch_rewards.png", "learning_curve.png", "agent.mp4"):
        assert (run / "pictures" / name).stat().st_size > 0
    trained = [line for line in lines(run) if line["kind"] == "train"]
    assert trained and all(np.isfinite(line["discriminator/penalty"]) for line in trained)


def test_the_frames_of_the_film_stay_those_of_the_agent_s_steps(imitator, cache):  # noqa: F811
    # Frame t of the demonstration is the expert's state t, and of no other time.
    expert = trajectory.subsample(trajectory.load(trajectory.shipped("cartpole_swingup")).first(1), 8)
    drawn = render.render(
        expert._replace(states=expert.states[:, :60]),
        View("cartpole_swingup", 8, image_size=16, quality="fast"),
        cache_dir=cache,
    )[0].astype(int)
    shown = trajectory.load(imitator[1]).frames[0].astype(int)
    apart = np.abs(shown[:25, None] - drawn[None, :25]).mean(axis=(2, 3, 4))  # while it swings up
    assert (
        np.abs(apart.argmin(axis=1) - np.arange(25)).max() <= 1 and (apart.argmin(axis=1) == np.arange(25)).sum() > 20
    )


def test_a_run_s_policy_is_recorded_as_demonstrations(imitator, cache, tmp_path, capsys):  # noqa: F811
    run, output = imitator[0], tmp_path / "recorded.npz"
    before = {file: file.read_bytes() for file in run.glob("*.json")}
    demos.main(["record", str(run), str(output), "--episodes", "2"])
    said = capsys.readouterr().out
    held = trajectory.load(output, expected_task="cartpole_swingup", action_repeat=8)
    assert held.states.shape == (2, 11, 4) and held.actions.shape == (2, 10, 1)
    for number, value in enumerate(held.returns):
        assert f"episode {number:3d}  return {value:8.1f}" in said
    assert held.metadata["source"] == "patchail, seed 0, checkpoint at 320 frames"
    assert {file: file.read_bytes() for file in run.glob("*.json")} == before
    demos.main(["record", str(run), str(tmp_path / "again.npz"), "--episodes", "2"])
    np.testing.assert_array_equal(trajectory.load(tmp_path / "again.npz").states, held.states)
    demos.main(["record", str(run), str(tmp_path / "dataset"), "--episodes", "1"])
    shown = import_lerobot.read(tmp_path / "dataset", Request("cartpole_swingup", 8, 10**8))
    # As drawn for people, at 100 control steps a second; the last frame has no action, and so no row.
    assert shown.frames.shape == (1, 10, 84, 84, 3) and shown.metadata["steps_per_second"] == 12.5
    np.testing.assert_array_equal(shown.actions[0], held.actions[0, :9])
    config = parse(
        arguments(tmp_path, cache, f"--config.demos.path={output}", "--config.demos.num_demonstrations=2")
    ).config
    experts = load_experts(config, 1)
    assert experts.frames.shape == (2, 11, 16, 16, 3)
    np.testing.assert_array_equal(experts.actions, held.actions)


def test_a_run_that_is_going_on_is_not_recorded(imitator, tmp_path):
    with (imitator[0] / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="a process is training in"):
            demos.main(["record", str(imitator[0]), str(tmp_path / "a.npz")])


def test_an_environment_of_one_s_own_from_its_reward_to_its_imitator(cache, tmp_path, capsys):  # noqa: F811
    train(parse(arguments(tmp_path / "expert", cache, *ROBOT, method="drqv2")).config)
    output = tmp_path / "corridor.npz"
    demos.main(["record", str(tmp_path / "expert"), str(output), "--episodes", "3"])
    held = trajectory.load(output, expected_task="corridor", action_repeat=1)
    assert held.states is None and held.frames.shape[0] == 3 and held.frames.shape[2:] == (16, 16, 3)

    capsys.readouterr()
    with pytest.raises(UserError, match="no task 'corridor' .* give --control_rate"):
        demos.main(["record", str(tmp_path / "expert"), str(tmp_path / "dataset"), "--episodes", "3"])
    assert "episode" not in capsys.readouterr().out  # nothing was played for it

    own = [*ROBOT, f"--config.demos.path={output}", "--config.demos.num_demonstrations=3"]
    train(parse(arguments(tmp_path / "run", cache, *own, "--config.env.workers=process")).config)
    _, _, arrays = last_checkpoint(tmp_path / "run")
    trained = [line for line in lines(tmp_path / "run") if line["kind"] == "train"]
    assert trained and all(np.isfinite(line["critic/loss"]) for line in trained)
    # Replay holds short episodes: one that terminated ends with discount 0, one whose time was up with 1.
    start, ends = 0, []
    for _, transitions, windows in arrays["replay.episodes"]:
        discounts = arrays["replay.discounts"][start : start + transitions]
        assert (discounts[:-1] == 1).all() and discounts[-1] == (transitions == 12)
        assert windows == (transitions - 2 if transitions == 12 else transitions)
        start += transitions + 1
        ends.append(int(transitions))
    assert min(ends) < 12

    explained = [f"--run={tmp_path / 'run'}", "--input=expert,agent,random", f"--output={tmp_path / 'shown'}"]
    explain(explained)
    assert any(file.stat().st_size > 0 for file in (tmp_path / "shown").glob("*.png"))


def test_the_doctor_looks_at_an_environment_of_one_s_own(cache, tmp_path, capsys):  # noqa: F811
    words = arguments(tmp_path, cache, *ROBOT, method="drqv2")[1:]
    assert doctor(words) == 0
    said = capsys.readouterr().out
    assert "16x16 from tests.envs.fakes:corridor" in said and said.endswith("a run would work: drqv2 on corridor\n")
    assert doctor([*words, "--config.env.task=discrete"]) == 1
    assert "discrete has discrete actions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("task", "message"),
    [("discrete", "discrete has discrete actions"), ("corridor", "no demonstrations of 'corridor' are shipped")],
)
def test_what_cannot_be_trained_on_is_one_line(cache, tmp_path, capsys, task, message):  # noqa: F811
    assert message in fail(capsys, arguments(tmp_path, cache, *ROBOT, f"--config.env.task={task}"))
