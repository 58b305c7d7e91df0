"""What the processes of a run tell each other about their checkpoints, so that all resume from the same one."""

from collections.abc import Callable, Sequence

import numpy as np

Gather = Callable[[np.ndarray], np.ndarray]  # a process's numbers to those of all, [processes, ...]

# What a process says of itself instead of a step; the smallest of all processes counts.
NONE = -1  # it never had a checkpoint
LOST = -2  # it had some, and can use none
UNREADABLE = -3  # its machine did not give one

_NAMED = 8  # newest checkpoints of each process that a refusal names


def alone(numbers: np.ndarray) -> np.ndarray:
    """What the only process of a run gathers."""
    return numbers[None]


def smallest(gather: Gather, number: int) -> int:
    """The smallest of what all processes say; each of them must ask."""
    return int(gather(np.asarray(number)).min())


def steps_of_all(gather: Gather, steps: Sequence[int]) -> str:
    """The checkpoints of each process in words, " (process 0 has 1, 2; process 1 has none)"; each of them must ask."""
    newest = sorted(steps)[-_NAMED:]
    everyone = gather(np.asarray([*newest, *[NONE] * (_NAMED - len(newest))]))
    if len(everyone) == 1:
        return ""
    named = [", ".join(str(step) for step in row if step != NONE) or "none" for row in everyone]
    return f" ({'; '.join(f'process {process} has {own}' for process, own in enumerate(named))})"
