"""The batch of an update that failed, on disk for somebody to look at."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.files.whole_file import whole_file


def write_failed_batch(path: Path, batch: Any, metrics: Mapping[str, float]) -> None:
    """Writes the ``batch`` that an update saw and the ``metrics`` that it gave as an npz file.

    ``batch`` is a NamedTuple of arrays, which may be nested: ``agent.frames``, ... and ``metrics/NAME``.
    """
    named: dict[str, Any] = dict(_leaves(batch, ""))
    named |= {f"metrics/{name}": np.asarray(value) for name, value in metrics.items()}
    with whole_file(path) as unfinished, unfinished.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **named)


def _leaves(batch: Any, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in batch._asdict().items():
        if hasattr(value, "_asdict"):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, np.asarray(value)
