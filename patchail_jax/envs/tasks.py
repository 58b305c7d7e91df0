"""Facts about DeepMind Control suite tasks."""

import difflib
import logging
from pathlib import Path
from typing import Any, NamedTuple

from patchail_jax.envs.rendering import choose_backend, opengl
from patchail_jax.errors import UserError

PAPER_TASKS = (
    "cartpole_swingup",
    "cheetah_run",
    "finger_spin",
    "hopper_stand",
    "walker_stand",
    "walker_walk",
    "quadruped_run",
)


class TaskFacts(NamedTuple):
    """A task's names in the suite and the camera the paper films it with."""

    domain: str
    task: str
    camera_id: int


def names_folder(name: str) -> bool:
    """Whether a task, or a method, can give the folder of its runs its name."""
    return name not in ("", ".", "..") and Path(name).name == name and "\0" not in name


def suite() -> Any:
    """dm_control's suite. OpenGL is chosen first: dm_control looks once, when it is imported."""
    choose_backend()
    with opengl():
        from dm_control import suite as found
    logging.getLogger("absl").addFilter(_is_no_deprecation)
    return found


def _is_no_deprecation(record: logging.LogRecord) -> bool:
    """Whether whoever trains can do something about it: what MuJoCo deprecates in the suite's models is the suite's."""
    return " is deprecated" not in record.getMessage()


def facts(name: str) -> TaskFacts:
    """``<domain>_<task>``, any task of the suite; ``UserError`` names the nearest one."""
    known = {f"{domain}_{task}": (domain, task) for domain, task in suite().ALL_TASKS}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"for example {', '.join(PAPER_TASKS)}"
        raise UserError(f"no task {name!r} in the DeepMind Control suite; {hint}")
    domain, task = known[name]
    return TaskFacts(domain, task, camera_id=2 if domain == "quadruped" else 0)
