"""Stand-ins for what numpy writes into a pickle: they hold data, and know nothing else."""

import math
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from patchail_jax.errors import UserError

_TYPES = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
_OBJECTS = ("O8", "O4", "O")
_ORDERS = ("<", ">", "|", "=")
_LONGEST_AXIS = 2**128  # beyond any array, and the product of eight is still quickly made


class Type:
    """Stands in for ``numpy.dtype``: numbers, or objects, which must be arrays or numbers themselves."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        if code not in (*_TYPES, *_OBJECTS):
            raise UserError(f"it holds arrays of {_short(code)}; only numbers can be read")
        self.dtype = np.dtype("O" if code in _OBJECTS else code)

    def fill(self, state: Any) -> None:
        """Takes what numpy pickles: version, byte order, and nothing of a structure."""
        if not isinstance(state, tuple) or len(state) < 8 or state[1] not in _ORDERS or state[2:5] != 3 * (None,):
            raise UserError("it holds arrays of structures; only numbers can be read")
        self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """Stands in for ``numpy.ndarray``: either ``numbers``, read-only, or ``items``, a list of objects."""

    def __init__(self) -> None:
        self.numbers: np.ndarray | None = None
        self.items: list[Any] | None = []

    def fill(self, state: Any) -> None:
        """Takes what numpy pickles: version, shape, type, whether in Fortran's order, and the data."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise UserError("it holds an array in a form that numpy does not write")
        self.take(*state[-4:])

    def take(self, shape: Any, kind: Any, fortran: Any, data: Any) -> None:
        """``UserError`` unless shape, type and data fit each other."""
        axes = shape if isinstance(shape, tuple) and len(shape) <= 8 else (None,)
        if not all(type(n) is int and 0 <= n < _LONGEST_AXIS for n in axes):
            raise UserError(f"it holds an array of shape {_short(shape)}")
        if not isinstance(kind, Type):
            raise UserError("it holds an array without a type")
        count = math.prod(axes)
        if kind.dtype.hasobject:
            if not isinstance(data, list) or len(data) != count:
                raise UserError(f"it holds an array that declares {count} objects and has others")
            self.numbers, self.items = None, data
            return
        data = data.encode("latin1") if isinstance(data, str) else data  # as Python 2 wrote bytes
        size = count * kind.dtype.itemsize
        if not isinstance(data, bytes) or len(data) != size:
            held = len(data) if isinstance(data, bytes) else type(data).__name__
            raise UserError(f"it holds an array that declares {_short(shape)}, {size:,} bytes, and has {held}")
        flat: np.ndarray = np.frombuffer(data, kind.dtype)
        self.numbers, self.items = flat.reshape(shape, order="F" if fortran else "C"), None


def _short(value: Any) -> str:
    """The beginning of its text, which may be longer as a whole than memory."""
    try:
        return reprlib.repr(value)[:80]
    except ValueError:  # Python writes no integer of over 4300 digits
        return "one too long to write"


class Name(str):
    """A function or class that the pickle names, one of ``CALLS``; it is never imported."""


def _reconstruct(kind: Any, *_: Any) -> Array:
    if kind != "numpy.ndarray":
        raise UserError("it holds an array of an unknown class")
    return Array()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any, *_: Any) -> Array:
    array = Array()
    array.take(shape, kind, order == "F", data)
    return array


def _scalar(kind: Any, data: Any, *_: Any) -> Array:
    array = Array()
    array.take((), kind, False, data)
    return array


def _encode(text: Any, encoding: Any, *_: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise UserError("it encodes something that is not bytes")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise UserError("it makes bytes of something else")
    return b""  # how the oldest forms of pickle write them


CALLS: dict[str, Callable[..., Any] | None] = {"numpy.dtype": Type, "numpy.ndarray": None, "_codecs.encode": _encode}
CALLS["__builtin__.bytes"] = _no_bytes
for _core in ("numpy.core", "numpy._core"):  # before and after numpy 2
    CALLS[f"{_core}.multiarray._reconstruct"] = _reconstruct
    CALLS[f"{_core}.multiarray.scalar"] = _scalar
    CALLS[f"{_core}.numeric._frombuffer"] = _from_buffer
