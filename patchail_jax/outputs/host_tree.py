"""The host's part of a checkpoint, a nested dict, as named arrays and what JSON keeps; and back."""

from typing import Any

import numpy as np


def split(host: dict[str, Any], prefix: str = "") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by dotted name, and the rest as a nested dict that JSON keeps exactly.

    Empty arrays go with the rest: Orbax does not write arrays without entries.
    """
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, Any] = {}
    for key, value in host.items():
        if isinstance(value, dict):
            inner, plain[key] = split(value, f"{prefix}{key}.")
            arrays.update(inner)
        elif isinstance(value, np.ndarray) and value.size:
            arrays[prefix + key] = value
            plain[key] = {"__array__": prefix + key}
        elif isinstance(value, np.ndarray):
            plain[key] = {"__empty__": list(value.shape), "dtype": value.dtype.str}
        else:
            plain[key] = value
    return arrays, plain


def join(arrays: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """The inverse of ``_split``."""
    host: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict) and "__array__" in value:
            host[key] = np.asarray(arrays[value["__array__"]])
        elif isinstance(value, dict) and "__empty__" in value:
            host[key] = np.zeros(value["__empty__"], np.dtype(value["dtype"]))
        elif isinstance(value, dict):
            host[key] = join(arrays, value)
        else:
            host[key] = value
    return host
