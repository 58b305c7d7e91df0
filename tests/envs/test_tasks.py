"""Any task of the suite by its name; a wrong name is told with the nearest right one."""

import subprocess
import sys

import pytest
from dm_control import suite

from patchail_jax.envs.tasks import PAPER_TASKS, facts
from patchail_jax.errors import UserError


def test_every_task_of_the_suite_has_its_name_split_right():
    assert all(facts(f"{domain}_{task}")[:2] == (domain, task) for domain, task in suite.ALL_TASKS)
    assert facts("ball_in_cup_catch")[:2] == ("ball_in_cup", "catch")


def test_cameras_are_the_paper_s():
    assert [facts(name).camera_id for name in PAPER_TASKS] == [0, 0, 0, 0, 0, 0, 2]
    assert facts("quadruped_walk").camera_id == 2


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("cheeta_run", "cheetah_run"),
        ("walker-walk", "walker_walk"),
        ("ball_in_cup_cach", "ball_in_cup_catch"),
        ("zzz", "for example cartpole_swingup"),
        ("", "for example cartpole_swingup"),
    ],
)
def test_an_unknown_task_is_one_line_with_the_nearest_name(name, near):
    with pytest.raises(UserError, match=near) as error:
        facts(name)
    assert "\n" not in str(error.value) and repr(name) in str(error.value)


def test_what_mujoco_deprecates_in_the_suite_s_models_is_not_said_to_whoever_trains():
    program = (
        "from patchail_jax.envs.dmc import load\n"
        "from patchail_jax.envs.tasks import PAPER_TASKS\n"
        "for task in PAPER_TASKS: load(task, quality='full')\n"
        "import logging; logging.getLogger('absl').warning('what else there is')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["WARNING:absl:what else there is"]
