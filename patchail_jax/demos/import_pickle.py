"""The ``expert_demos.pkl`` of the authors' program and of ROT.

It is a list of observations ``[N,T,3S,H,W] uint8`` (stacks, channels first), states, actions ``[N,T,A]`` and rewards
``[N,T]``. Item t has the observation before action t, and the reward that came with that observation; what followed
the last action was not kept. Hence T observations are T-1 steps here, and returns lack the last step's reward. The
states are observations too, which cannot be rendered again, so they are left out.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.demos.form import Demonstration, Trajectories, assemble, unit_actions
from patchail_jax.demos.pickled_array import Array
from patchail_jax.demos.unpickle import load
from patchail_jax.envs.look import square
from patchail_jax.errors import UserError

_log = logging.getLogger(__name__)

_Arrays = Sequence[np.ndarray] | np.ndarray
_DEMONSTRATION_BYTES = 1000  # about what it takes beside its frames


def read(
    path: Path, *, task: str, action_repeat: int, image_size: int | None, num_demonstrations: int | None, memory: int
) -> Trajectories:
    """The file's demonstrations, or the first ``num_demonstrations``, with the newest frame of each stack.

    ``image_size`` None keeps the frames' own. Raises UserError for a file of another form, see also ``unpickle``, and
    where frames and file together need more than ``memory`` bytes.
    """
    content = load(path, memory=memory)
    if not isinstance(content, Sequence) or isinstance(content, str | bytes) or len(content) < 4:
        raise UserError(f"{path}: not a list of observations, states, actions and rewards")
    stacks = _each(content[0], "observations", path)[:num_demonstrations]
    actions, rewards = (_each(part, name, path) for part, name in ((content[2], "actions"), (content[3], "rewards")))
    sizes = [_newest_bytes(stack, path) for stack in stacks]
    # The frames, and all of them again with the shorter demonstrations filled up. A file may hold one array many times.
    needed = path.stat().st_size + sum(sizes) + len(sizes) * (max(sizes, default=0) + _DEMONSTRATION_BYTES)
    needed += 2 * sum(_bytes(part) for part in (actions, rewards))
    if needed > memory:
        raise UserError(f"{path}: needs {needed / 1024**3:.1f} GiB, more than is free: use --num_demonstrations")
    demonstrations = []
    for number, stack in enumerate(stacks):
        newest = stack[:, -3:].transpose(0, 2, 3, 1)
        size = image_size or min(newest.shape[1:3])
        frames = np.stack([square(np.ascontiguousarray(frame), size) for frame in newest])
        demonstrations.append(
            Demonstration(frames, _actions(actions, number, len(stack), path), _rewards(rewards, number, len(stack)))
        )
    if demonstrations and demonstrations[0].rewards is None:
        _log.warning("%s: no reward for each step, so returns will not be known", path)
    source = f"pickle {path.name}, frames as they came"
    return assemble(demonstrations, {"task": task, "action_repeat": action_repeat, "source": source}, name=str(path))


def _newest_bytes(stack: np.ndarray, path: Path) -> int:
    """Bytes of the newest frames of ``stack [T,3S,H,W] uint8``; ``UserError`` for another form."""
    if stack.dtype != np.uint8 or stack.ndim != 4 or stack.shape[1] % 3 or len(stack) < 2 or 0 in stack.shape:
        raise UserError(f"{path}: observations must be [T,3S,H,W] uint8, not {stack.dtype}{list(stack.shape)}")
    return 3 * stack.nbytes // stack.shape[1]


def _each(part: Any, name: str, path: Path) -> _Arrays:
    """One array a demonstration, from one array for all, an array of arrays, or a list of arrays."""
    if isinstance(part, Array) and part.numbers is not None:
        return np.atleast_1d(part.numbers)  # and no list, as there may be a thousand million empty ones
    items = part.items if isinstance(part, Array) else part
    arrays = [item.numbers for item in items if isinstance(item, Array)] if isinstance(items, list | tuple) else []
    held = [array for array in arrays if array is not None]
    if not isinstance(items, list | tuple) or len(held) != len(items):
        raise UserError(f"{path}: {name} must be one array, or a list of one array a demonstration")
    return held


def _bytes(arrays: _Arrays) -> int:
    return arrays.nbytes if isinstance(arrays, np.ndarray) else sum(array.nbytes for array in arrays)


def _actions(actions: _Arrays, number: int, length: int, path: Path) -> np.ndarray:
    fitting = actions[number] if number < len(actions) else np.zeros(0)
    if fitting.ndim != 2 or len(fitting) != length or fitting.dtype.kind != "f":
        form = list(fitting.shape)
        raise UserError(
            f"{path}: demonstration {number} has {length} observations and actions {form}, not [{length},A]"
        )
    return unit_actions(fitting[:-1], name=str(path))


def _rewards(rewards: _Arrays, number: int, length: int) -> np.ndarray | None:
    if number >= len(rewards) or rewards[number].shape != (length,):
        return None
    return rewards[number][1:].astype(np.float32)
