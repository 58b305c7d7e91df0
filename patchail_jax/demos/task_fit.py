"""Whether demonstrations fit the task that they are for, as far as the suite can say: their pace and their actions."""

from typing import Any

import numpy as np

from patchail_jax.demos.form import Trajectories
from patchail_jax.envs import dmc
from patchail_jax.envs.tasks import facts, names_folder, suite
from patchail_jax.errors import UserError

_SLACK = 1.05  # of a rate: 29.97 frames a second are 30


def refuse_name(task: str) -> None:
    """``UserError`` for a task's name that could not name the folder of a run."""
    if not names_folder(task) or task.strip() != task or not task.isprintable():
        raise UserError(f"--task is {task!r}; write a name such as walker_walk, without slashes and outer blanks")


def refuse_actions(actions: np.ndarray | None, action_size: int, *, task: str, source: str) -> None:
    """``UserError`` for ``actions [D,T,A]`` of another length than the task's."""
    if actions is not None and actions.shape[2] != action_size:
        raise UserError(
            f"{source}: holds actions of {actions.shape[2]} numbers, and {task} has {action_size}: convert with "
            "--no_actions to take the frames alone"
        )


def steps_per_second(task: str, action_repeat: int) -> float:
    """Agent steps a second of a suite task's time."""
    suite()  # its troubles are not the task's name's
    try:
        with dmc.load(task, quality="full") as environment:
            return _rate(environment, action_repeat)
    except UserError as error:
        raise UserError(f"{error}; for a task of your own give --control_rate, its agent steps a second") from error


def compare(held: Trajectories, *, source: str) -> list[str]:
    """What is odd about demonstrations of a suite task; nothing of a task of one's own, which says nothing of itself.

    ``UserError`` for actions of another length than the task's.
    """
    task, repeat = held.metadata["task"], held.metadata["action_repeat"]
    suite()  # its troubles are not the task's name's
    try:
        facts(task)
    except UserError:
        return []
    with dmc.load(task, quality="full") as environment:
        refuse_actions(held.actions, environment.action_spec().shape[0], task=task, source=source)
        own = _rate(environment, repeat)
    rate = held.metadata.get("steps_per_second", own)
    if 1 / _SLACK <= rate / own <= _SLACK:
        return []
    return [
        f"{rate:g} steps a second, and {task} has {own:g} at action repeat {repeat}: the expert moves "
        f"{max(rate / own, own / rate):.2g} times too {'slowly' if rate > own else 'fast'} for the agent"
    ]


def _rate(environment: Any, action_repeat: int) -> float:
    return 1.0 / float(environment.control_timestep() * action_repeat)
