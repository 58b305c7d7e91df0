"""What updates take on accelerators that are not here: ``patchail bench --compile_for=h100``.

XLA's own compilers compile them for described devices (``devices.described``), on 1 and on 4 of them.
"""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from patchail_jax.devices.described import TARGETS, Compiled, Target, compiled, describe, prepare
from patchail_jax.errors import UserError, one_line
from patchail_jax.programs.update_timing import EPISODES, on_noise
from patchail_jax.run.sizes import ring_slots

COUNTS = (1, 4)  # devices
ROWS = 64  # frames of replay that programs are compiled with
_GIB = 1024**3


def targets(names: str) -> list[str]:
    """The targets of ``--compile_for=h100,v5e-4``; ``UserError`` for others. Comes before JAX computes anything."""
    found = list(dict.fromkeys(names.split(",")))
    for name in found:
        if name not in TARGETS:
            raise UserError(f"--compile_for is {name!r}; use one of {', '.join(TARGETS)}, or several with commas")
    prepare()
    return found


def compile_all(
    cases: Mapping[str, ConfigDict],
    names: Sequence[str],
    action_size: int,
    *,
    say: Callable[[str], None],
    result: dict[str, Any],
) -> None:
    """Compiles each of the ``cases`` for each target, and puts the numbers into ``result``.

    ``UserError`` before anything is compiled for a config that makes no run, and at the end if some did not compile;
    each of these is said when it fails, and the others go on.
    """
    import jax

    from patchail_jax.run.made import made

    for count, case in itertools.product(COUNTS, cases.values()):
        made(_placed(case, count), action_size)
    result |= {"jax": jax.__version__, "compiled": []}
    for name, count in itertools.product(names, COUNTS):
        devices = describe(name, count)
        for label, case in cases.items():
            row = {"target": name, "devices": count, "case": label, **_row(case, devices, TARGETS[name], action_size)}
            result["compiled"].append(row)
            say(_line(row))
    failed = sum("error" in row for row in result["compiled"])
    if failed:
        raise UserError(f"{failed} of {len(result['compiled'])} updates do not compile; each is named above")


def _row(config: ConfigDict, devices: Sequence[Any], target: Target, action_size: int) -> dict[str, Any]:
    """The numbers of one update, or the compiler's ``error``."""
    began = time.monotonic()
    try:
        program, operations = _compile(config, devices, action_size)
    except (RuntimeError, TypeError, ValueError) as error:
        return {"error": one_line(error, 500)}
    seconds, bound = program.least_seconds(target, operations, config.network.precision)
    numbers = {"operations": operations, "least_ms": 1e3 * seconds, "bound": bound}
    return {**program._asdict(), **numbers, "compile_seconds": time.monotonic() - began}


def _line(row: Mapping[str, Any]) -> str:
    """A row for the console."""
    words = f"{row['target']:6s} {row['devices']} device{'s' if row['devices'] > 1 else ' '}  {row['case']:52s}"
    if "error" in row:
        return f"{words} does not compile: {row['error']}"
    fits = "" if row["memory_bytes"] < TARGETS[row["target"]].memory else ", MORE THAN IT HAS"
    return (
        f"{words} {row['memory_bytes'] / _GIB:6.2f} GiB{fits}, {row['kernels']:4d} kernels, "
        f"{row['bytes'] / 1e9:6.2f} GB, {row['operations'] / 1e9:7.1f} Gop: at least {row['least_ms']:6.2f} ms"
        f" ({row['bound']})"
    )


def _placed(config: ConfigDict, count: int) -> ConfigDict:
    """The config on ``count`` devices, whatever platform it asks for: the target is the platform."""
    placed = config.copy_and_resolve_references()
    placed.devices, placed.platform = count, ""
    return placed


def _compile(config: ConfigDict, devices: Sequence[Any], action_size: int) -> tuple[Compiled, float]:
    """The config's update for ``devices``, and the operations of each; nothing of replay's size is allocated here."""
    import jax

    short = _placed(config, len(devices))
    short.replay.capacity = min(config.replay.capacity, 2 * EPISODES * config.env.episode_frames)
    if config.replay.frames_on_device == "auto":
        short.replay.frames_on_device = "yes"  # as on an accelerator that has the room
    with on_noise(short, action_size) as (_, method, here, experience):
        shape = jax.ShapeDtypeStruct
        state = jax.eval_shape(method.init, jax.random.PRNGKey(0))
        batches, shards = jax.tree.map(lambda leaf: shape(leaf.shape, leaf.dtype), experience.batch(0))
        frames = 0
        if shards is not None:
            # XLA counts a look-up as a reading of the whole array: of a short one, so that bytes stay the least.
            rows = shards.shape[1] - -(ring_slots(config) - ring_slots(short)) // len(devices)
            frames = (rows - ROWS) * math.prod(shards.shape[2:]) * shards.dtype.itemsize
            shards = shape((len(devices), ROWS, *shards.shape[2:]), shards.dtype)
        operations = here.operations(state, batches, shards) / len(devices)
        program = compiled(here.lowered(devices, state, batches, shards))
        return program._replace(memory_bytes=program.memory_bytes + frames), operations
