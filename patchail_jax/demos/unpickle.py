"""Reads a pickle of numpy arrays without running it.

A pickle is a program for a small stack machine, and one of its instructions calls any function that it names. Here the
standard library's ``pickletools`` only takes the program apart; the instructions that build lists, numbers, strings and
numpy's arrays are carried out below, on stand-ins that know nothing but how to hold data. Any other instruction, and
any other name, is refused before something happens; no name is ever imported.
"""

import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from patchail_jax.demos.pickled_array import CALLS, Array, Name, Type
from patchail_jax.errors import UserError

_GIB = 1024**3
_OBJECT_BYTES = 64  # about what the smallest object takes, however short its instruction
_LITERALS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_ARGUMENTS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "BYTEARRAY8"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_MARKED: dict[str, Callable[[list[Any]], Any]] = {"LIST": list, "TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ERRORS = (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, RecursionError, struct.error)


def load(path: Path, *, memory: int) -> Any:
    """What the file's pickle holds: lists, tuples and dicts of numbers, strings and ``Array``.

    Raises UserError, one line, for a pickle that names anything else, is not whole, or needs over ``memory`` bytes.
    """
    try:
        with path.open("rb") as stream:
            return _Machine(stream, path.stat().st_size, memory).run()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except _ERRORS as error:
        raise UserError(f"{path}: not a whole pickle ({' '.join(str(error).split())[:120]})") from error


class _Machine:
    """The stack machine; also the stream that ``pickletools`` reads from, which promises no more than there is."""

    def __init__(self, stream: BinaryIO, size: int, memory: int) -> None:
        if size > memory:
            raise UserError(f"has {size / _GIB:.1f} GiB, and {memory / _GIB:.1f} GiB of memory are free")
        self._stream, self._size, self._memory, self._spent = stream, size, memory, 0
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # what lay on the stack at each mark
        self._memo: dict[int, Any] = {}
        self.readline, self.tell = stream.readline, stream.tell

    def read(self, count: int) -> bytes:
        left = self._size - self._stream.tell()
        if count > left:
            raise UserError(f"not a whole pickle: {count} bytes are declared where {left} are left")
        return self._stream.read(count)

    def run(self) -> Any:
        """Carries out the program up to its end."""
        for instruction, argument, _ in pickletools.genops(self):  # type: ignore[arg-type]
            self._spend(_OBJECT_BYTES + (len(argument) if isinstance(argument, str | bytes | bytearray) else 0))
            if instruction.name == "STOP":
                return self._stack.pop()
            self._do(instruction.name, argument)
        raise UserError("not a whole pickle")

    def _spend(self, count: int) -> None:
        self._spent += count
        if self._spent > self._memory:
            raise UserError(f"holds more than the {self._memory / _GIB:.1f} GiB of memory that are free")

    def _spend_copies(self, arguments: Any) -> None:
        """Text that becomes bytes, again with every call that is given it."""
        self._spend(sum(len(argument) for argument in arguments if isinstance(argument, str)))

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in ("PROTO", "FRAME"):
            return
        if name in _ARGUMENTS:
            stack.append(argument)
        elif name in _LITERALS:
            stack.append(_LITERALS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            self._below.append(stack)
            self._stack = []
        elif name in _MARKED:
            items = self._since_mark()
            self._stack.append(_MARKED[name](items))
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._since_mark()
            self._top(list).extend(items)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else self._since_mark()
            if name == "DICT":
                self._stack.append({})
            self._top(dict).update(zip(items[::2], items[1::2], strict=True))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "POP":
            stack.pop()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "GLOBAL":
            stack.append(_named(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(_named(f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "nothing"))
        elif name == "REDUCE":
            self._call()
        elif name == "BUILD":
            state = stack.pop()
            self._spend_copies(state)
            self._top((Type, Array)).fill(state)
        else:
            named = f" {argument!r}" if isinstance(argument, str) else ""
            raise UserError(f"refused: it asks for {name}{named}, which no array needs")

    def _call(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        call = CALLS[function] if isinstance(function, Name) else None
        if call is None or not isinstance(arguments, tuple):
            raise UserError(f"refused: it calls a {type(function).__name__}, which no array needs")
        self._spend_copies(arguments)
        self._stack.append(call(*arguments))

    def _since_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _top(self, kind: Any) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise UserError(f"refused: it changes a {type(self._stack[-1]).__name__}, which no array needs")
        return self._stack[-1]


def _named(name: str) -> Name:
    if name not in CALLS:
        raise UserError(f"refused: it names {name[:80]!r}, which no array needs; nothing of it was run")
    return Name(name)
