"""The expert's return is that of as many frames as the run's episodes have, or there is none."""

import numpy as np
import pytest

from patchail_jax.demos import trajectory
from patchail_jax.reports.runs import expert_return, read_run
from tests.reports.fakes import make_run

TASKS = sorted(file.stem for file in trajectory.shipped("walker_walk").parent.glob("*.npz"))


@pytest.fixture
def compares(tmp_path):
    """Whether demonstrations of ``lengths`` steps have a return to compare with."""

    def compares(lengths, *, repeat=2, count=0, **env):
        path = tmp_path / "mine.npz"
        demonstrations, longest = len(lengths), max(lengths)
        trajectory.save(
            path,
            trajectory.Trajectories(
                np.zeros((demonstrations, longest + 1, 3)),
                None,
                np.ones((demonstrations, longest), np.float32),
                {"task": "reach", "action_repeat": repeat},
                lengths=np.array(lengths),
            ),
        )
        found = expert_return({"task": "reach", **env}, {"path": str(path), "num_demonstrations": count})
        assert found in (None, np.mean(lengths[: count or None]))
        return found is not None

    return compares


@pytest.mark.parametrize("task", TASKS)
def test_a_run_of_shorter_episodes_has_no_share_of_the_shipped_expert(tmp_path, task):
    assert len(TASKS) == 7
    whole = read_run(make_run(tmp_path / "whole", task=task, until=0))
    assert whole.config["env"]["episode_frames"] == 1000 and whole.expert_return > 700
    for frames in (500, 2000):
        env = {**whole.config["env"], "episode_frames": frames}
        assert read_run(make_run(tmp_path / str(frames), task=task, until=0, env=env)).expert_return is None


def test_where_time_was_up_it_was_up_at_the_run_s_frame(compares):
    assert compares([50] * 3, episode_frames=100) and compares([50], episode_frames=100)
    assert not compares([50] * 3, episode_frames=50) and not compares([50], episode_frames=200)
    assert compares([50] * 3)  # a config from before there was the field
    assert compares([50, 50, 20], episode_frames=100) and not compares([50, 50, 20], episode_frames=200)


@pytest.mark.parametrize("steps", [33, 34])
def test_a_repeat_need_not_divide_an_episode(compares, steps):
    assert compares([steps] * 2, repeat=3, episode_frames=100)
    assert not compares([steps] * 2, repeat=3, episode_frames=110)
    assert not compares([steps] * 2, repeat=3, episode_frames=90)


def test_demonstrations_that_ended_by_themselves_need_only_fit(compares):
    for count in (0, 1):
        assert compares([20, 35, 41], count=count, episode_frames=1000)
        assert not compares([20, 35, 41], count=count, episode_frames=60)


def test_an_environment_of_one_s_own_may_end_its_episodes_early(compares):
    assert compares([100] * 3, episode_frames=1000, factory="robot:make")
    assert not compares([100] * 3, episode_frames=100, factory="robot:make")
