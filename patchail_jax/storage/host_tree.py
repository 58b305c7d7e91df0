"""The host's part of a checkpoint, a nested dict, as named arrays and what JSON keeps; and back."""

from typing import Any

import numpy as np


def split(host: dict[str, Any], prefix: str = "") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by dotted name, and the rest as a nested dict that JSON keeps exactly."""
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, Any] = {}
    for key, value in host.items():
        if isinstance(value, dict):
            inner, plain[key] = split(value, f"{prefix}{key}.")
            arrays.update(inner)
        elif isinstance(value, np.ndarray):
            arrays[prefix + key] = value
            plain[key] = {"__array__": prefix + key}
        else:
            plain[key] = value
    return arrays, plain


def join(arrays: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    """The inverse of ``split``."""
    host: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict) and "__array__" in value:
            host[key] = np.asarray(arrays[value["__array__"]])
        elif isinstance(value, dict):
            host[key] = join(arrays, value)
        else:
            host[key] = value
    return host
