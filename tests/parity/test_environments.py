"""Frames and rewards of the tasks. Pixels depend on the renderer: bit for bit where it is the recorded one."""

import contextlib
import zlib

import numpy as np

from patchail_jax.envs.dmc import FrameEnvironment
from patchail_jax.run.config import paper_config
from tests.parity.golden import FRAME_MEANS, TASK_REWARD, cases


def play(case):
    """The frames, rewards and discounts of the case's actions, and who drew."""
    env, a = paper_config(case.spec["task"]).env, case.inputs
    environment = FrameEnvironment(task=env.task, action_repeat=env.action_repeat, image_size=env.image_size)
    with contextlib.closing(environment):
        first = environment.reset(int(a["seed"]))
        steps = [environment.step(action[: environment.action_size]) for action in a["actions"]]
        return [first, *steps], environment.renderer


@cases("environment")
def test_frames_and_rewards(compare, name):
    case = compare.case
    (first, *steps), renderer = play(case)
    frames = [first.frame, *(step.frame for step in steps)]
    rewards = np.array([step.reward for step in steps])
    worst = np.abs(rewards - case["rewards"]).max() / max(np.abs(case["rewards"]).max(), 1e-3)
    compare.error("rewards", worst, TASK_REWARD)
    compare.same("discounts", [step.discount for step in steps], case["discounts"])
    compare.value("mean of each frame", [frame.mean() for frame in frames], "mean", FRAME_MEANS)
    if renderer == str(case["renderer"]):
        crc = [zlib.crc32(np.ascontiguousarray(frame).tobytes()) for frame in frames]
        compare.same("frames, CRC-32", crc, case["crc32"])
