"""How far the runs of a sweep are, by their folders, on disks or in buckets: every launcher asks, and starts the rest.

What a launcher's own queue knows beside that (a job that waits, a pod that starts) it adds itself.
"""

import collections
import functools
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, cast

from patchail_jax.launch import options
from patchail_jax.launch.sweeps.sweep import PlannedRun
from patchail_jax.storage.remote import finished_frames, is_going_on, is_remote, local_folder, reachable, storage
from patchail_jax.storage.run_config import newer_fields

FINISHED: Final = "finished"
GOING_ON: Final = "going on"  # a process works in its folder
TO_DO: Final = "to do"
_AT_ONCE = 16  # questions to a bucket, each some 50 ms


def standing(run: PlannedRun) -> str:
    """``FINISHED`` where the folder says that it has come to the frames now asked for, ``GOING_ON``, or ``TO_DO``.

    ``UserError`` where the folder holds another run than this one.
    """
    _refuse_other(run)
    if finished_frames(run.folder) >= options.frames_of(run):
        return FINISHED
    return GOING_ON if is_going_on(run.folder) else TO_DO


def standings(runs: Sequence[PlannedRun]) -> dict[str, str]:
    """``standing`` of each run, by its name; ``UserError`` for the first whose folder holds another run."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return dict(zip([run.name for run in runs], threads.map(standing, runs), strict=True))


def _refuse_other(run: PlannedRun) -> None:
    """``UserError`` where the folder holds another run; of newer fields the run itself says what it takes."""
    config = options.config_of(run).to_dict()
    differing = functools.partial(newer_fields, config=config, remedy="give another --root")
    if is_remote(run.folder):
        with reachable(run.folder):  # an address has the methods of a path
            differing(cast(Path, storage(run.folder)))
    else:
        differing(local_folder(run.folder))


def left(
    runs: Sequence[PlannedRun], *, queued: Mapping[str, str] | None = None, in_turn: bool = False
) -> list[PlannedRun]:
    """The runs to start now; how many are not, and why, is said on stderr.

    ``queued`` has, by name, what the launcher's own queue knows of runs, in a word or two. Runs that come ``in_turn``
    are not started now: those that go on elsewhere have the last turns, when they are finished or free.
    ``UserError`` where a folder holds another run than the one that is asked for, of queued runs too.
    """
    found = standings(runs) | dict(queued or {})
    counts = collections.Counter(found[run.name] for run in runs)
    if counts[TO_DO] < len(runs):
        sys.stderr.write(f"{', '.join(f'{count} {state}' for state, count in counts.items())}\n")
    states = (TO_DO, GOING_ON) if in_turn else (TO_DO,)
    return [run for state in states for run in runs if found[run.name] == state]
