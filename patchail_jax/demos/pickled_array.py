"""Stand-ins for what numpy writes into a pickle: they hold data, and know nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np

from patchail_jax.errors import UserError

_TYPES = ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
_OBJECTS = ("O8", "O4", "O")
_ORDERS = ("<", ">", "|", "=")


class Type:
    """Stands in for ``numpy.dtype``: numbers, or objects, which must be arrays or numbers themselves."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        if code not in (*_TYPES, *_OBJECTS):
            raise UserError(f"it holds arrays of {str(code)[:20]!r}; only numbers can be read")
        self.code, self.order = code, "="

    def fill(self, state: Any) -> None:
        """Takes what numpy pickles: version, byte order, and nothing of a structure."""
        if not isinstance(state, tuple) or len(state) < 8 or state[1] not in _ORDERS or state[2:5] != 3 * (None,):
            raise UserError("it holds arrays of structures; only numbers can be read")
        self.order = state[1]

    @property
    def holds_objects(self) -> bool:
        """Whether its arrays are lists of objects."""
        return self.code in _OBJECTS


class Array:
    """Stands in for ``numpy.ndarray``: numbers as bytes and a shape, or a list of objects."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.items: list[Any] | None = []
        self._type, self._fortran = Type("f8"), False
        self._data: bytes | bytearray = b""

    def fill(self, state: Any) -> None:
        """Takes what numpy pickles: version, shape, type, whether in Fortran's order, and the data."""
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise UserError("it holds an array in a form that numpy does not write")
        self.take(*state[-4:])

    def take(self, shape: Any, kind: Any, fortran: Any, data: Any) -> None:
        """``UserError`` unless shape, type and data fit each other."""
        if not isinstance(shape, tuple) or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
            raise UserError(f"it holds an array of shape {str(shape)[:80]}")
        if not isinstance(kind, Type):
            raise UserError("it holds an array without a type")
        count = int(np.prod(shape, dtype=object))
        if kind.holds_objects:
            if not isinstance(data, list) or len(data) != count:
                raise UserError(f"it holds an array that declares {count} objects and has others")
            self.shape, self.items = shape, data
            return
        data = data.encode("latin1") if isinstance(data, str) else data  # as Python 2 wrote bytes
        size = count * np.dtype(kind.code).itemsize
        if not isinstance(data, bytes | bytearray) or len(data) != size:
            held = len(data) if isinstance(data, bytes | bytearray) else type(data).__name__
            raise UserError(f"it holds an array that declares {str(shape)[:80]}, {size:,} bytes, and has {held}")
        self.shape, self.items = shape, None
        self._type, self._data, self._fortran = kind, data, bool(fortran)

    def numbers(self) -> np.ndarray:
        """The array, read-only; only where ``items`` is None."""
        kind = np.dtype(self._type.code).newbyteorder(self._type.order)
        flat: np.ndarray = np.frombuffer(self._data, kind)
        return flat.reshape(self.shape, order="F" if self._fortran else "C")


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
