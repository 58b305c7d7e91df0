"""The ``expert_demos.pkl`` of the authors' program and of ROT.

It is a list of observations ``[N,T,3S,H,W] uint8`` (stacks, channels first), states, actions ``[N,T,A]`` and rewards
``[N,T]``. Item t has the observation before action t, and the reward that came with that observation; what followed
the last action was not kept. Hence T observations are T-1 steps here, and returns lack the last step's reward. The
states are observations too, which cannot be rendered again, so they are left out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.demos import pictures
from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.demos.pickled_array import Array
from patchail_jax.demos.unpickle import load
from patchail_jax.errors import UserError

_Arrays = Sequence[np.ndarray] | np.ndarray
_DEMONSTRATION_BYTES = 1000  # about what it takes beside its frames


def read(path: Path, request: Request) -> Trajectories:
    """The file's demonstrations, with the newest frame of each stack.

    Raises UserError for a file of another form, see also ``unpickle`` and ``Gathering.add``, and where frames and file
    together need more than ``request.memory`` bytes.
    """
    content = load(path, memory=request.memory)
    if not isinstance(content, Sequence) or isinstance(content, str | bytes) or len(content) < 4:
        raise UserError(f"{path}: not a list of observations, states, actions and rewards")
    held = _each(content[0], "observations", path)
    actions = _each(content[2], "actions", path) if request.actions else ()
    rewards = _each(content[3], "rewards", path)
    stacks = held[: request.num_demonstrations]
    gathering = Gathering(request, str(path))
    sizes = [_newest_bytes(stack, request.layout, f"{path}: demonstration {d}") for d, stack in enumerate(stacks)]
    _refuse_other_counts(path, len(held), {"actions": actions, "rewards": rewards})
    # The frames, and all of them again with the shorter demonstrations filled up. A file may hold one array many times.
    needed = path.stat().st_size + sum(sizes) + len(sizes) * (max(sizes, default=0) + _DEMONSTRATION_BYTES)
    needed += 2 * sum(_bytes(part) for part in (actions, rewards))
    if needed > request.memory:
        raise UserError(f"{path}: needs {needed / 1024**3:.1f} GiB, more than is free: use --num_demonstrations")
    for number, stack in enumerate(stacks):
        gathering.add_arrays(
            stack, _part(actions, number), _rewards(rewards, number, len(stack)), name=f"{len(stack)} observations"
        )
    if gathering.demonstrations and gathering.demonstrations[0].rewards is None:
        gathering.notes.setdefault("no reward for each step, so returns are not known")
    return gathering.finish(f"pickle {path.name}, frames as they came")


def _refuse_other_counts(path: Path, count: int, parts: dict[str, _Arrays]) -> None:
    """``UserError`` where one of ``parts`` has rows of more or fewer demonstrations than ``count``."""
    for name, part in parts.items():
        if count and len(part) != count and any(array.ndim and array.size for array in part[:1]):
            raise UserError(
                f"{path}: has observations of {count} demonstrations and {name} of {len(part)}: which belong together "
                "cannot be told; write the file again"
            )


def _newest_bytes(stack: np.ndarray, layout: str, where: str) -> int:
    """Bytes of the newest frames of a stack; ``UserError`` where it is no series of pictures."""
    if stack.ndim != 4 or len(stack) < 2 or 0 in stack.shape:
        raise UserError(f"{where}: observations must be pictures [T,3S,H,W], not {stack.dtype}{list(stack.shape)}")
    try:
        found = pictures.find_layout(stack.shape[1:], asked=layout)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    height, width = found.sides(stack.shape[1:])
    return 3 * len(stack) * height * width


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


def _part(arrays: _Arrays, number: int) -> np.ndarray | None:
    return arrays[number] if number < len(arrays) and arrays[number].ndim else None


def _rewards(rewards: _Arrays, number: int, length: int) -> np.ndarray | None:
    """Those that came with the observations behind the first one."""
    given = _part(rewards, number)
    return None if given is None or given.shape not in ((length,), (length, 1)) else given[1:]
