"""Batches on disk, for somebody to look at."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def write_record(path: Path, record: Any, metrics: Mapping[str, float]) -> None:
    """A NamedTuple of arrays, nested ones too, as an npz file: ``agent.frames``, ... and ``metrics/NAME``."""
    named: dict[str, Any] = dict(_leaves(record, ""))
    named |= {f"metrics/{name}": np.asarray(value) for name, value in metrics.items()}
    np.savez(path, **named)


def _leaves(record: Any, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    for name, value in record._asdict().items():
        if hasattr(value, "_asdict"):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, np.asarray(value)
