"""Reads a pickle of numpy arrays without running it.

A pickle is a list of instructions, and some of them import what they name and call it. This is the standard library's
reader with less in it. It knows only the instructions that arrays, lists, dicts, numbers and strings need. A name is
never imported: it calls a stand-in of ``pickled_array``. All that is read counts against the memory that is free. It is
the reader in Python, because the one in C takes the memory that a file declares before it looks for the content.
"""

import functools
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any, BinaryIO

from patchail_jax.demos.pickled_array import CALLS, Array, Name, Type
from patchail_jax.errors import UserError, one_line
from patchail_jax.files.ordinary import require_file

_GIB = 1024**3
_OBJECT_BYTES = 64  # about what the smallest object takes, however short its instruction
_ALLOWED = {
    *("PROTO", "FRAME", "STOP", "MARK", "POP", "DUP", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    *("GET", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2"),
    *("LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES"),
    *("SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}
_OTHERS = {
    b"\x1f\x8b": "compressed: unpack it with gunzip first",
    b"BZh": "compressed: unpack it with bunzip2 first",
    b"\xfd7zXZ": "compressed: unpack it with unxz first",
    b"PK\x03\x04": "a zip archive, such as npz: use patchail demos convert npz",
    b"\x89HDF": "HDF5: use patchail demos convert hdf5",
}  # by how they begin, which no pickle does
_LOOKED_AT, _LINES = 2**20, 5  # bytes, and the fewest lines in them to tell by
_Unpickler: Any = pickle._Unpickler  # Any, because the type stubs name none of its parts
_ERRORS = (pickle.UnpicklingError, struct.error, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def load(path: Path, *, memory: int) -> Any:
    """What the file's pickle holds: lists, tuples and dicts of numbers, strings and ``Array``.

    Raises UserError, one line, for a pickle that names anything else, is not whole, or needs over ``memory`` bytes.
    """
    require_file(path)
    try:
        with path.open("rb") as stream:
            if other := _other_kind(stream):
                raise UserError(other)
            held = _Reader(_Stream(stream, path.stat().st_size, memory)).load()
            if stream.read(1):
                raise UserError("goes on behind its first object: write one list of all demonstrations by one dump")
            return held
    except UserError as error:
        raise UserError(f"{path}: {_text_copy(path) or error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (*_ERRORS, MemoryError, RecursionError) as error:
        found = _text_copy(path) or f"not a complete pickle ({one_line(error, 120)})"
        raise UserError(f"{path}: {found}") from error


def _other_kind(stream: BinaryIO) -> str:
    """What to do with a file that begins as another kind does; "" for what may be a pickle."""
    beginning = stream.read(max(map(len, _OTHERS)))
    stream.seek(0)
    return next((f"is {what}" for signs, what in _OTHERS.items() if beginning.startswith(signs)), "")


def _text_copy(path: Path) -> str:
    """What to do where every line ends in CR LF, as no pickle of numbers has it by chance; "" where not."""
    with path.open("rb") as stream:
        beginning = stream.read(_LOOKED_AT)
    lines = beginning.count(b"\n")
    changed = lines >= _LINES and beginning.count(b"\r\n") == lines
    return "was copied as text, which turned LF into CR LF: copy it as binary from where it came" if changed else ""


class _Stream:
    """The file: gives no more than there is, and counts what it gives against the free memory."""

    def __init__(self, stream: BinaryIO, size: int, memory: int) -> None:
        if size > memory:
            raise UserError(f"has {size / _GIB:.1f} GiB, and {memory / _GIB:.1f} GiB of memory are free")
        self._stream, self._left, self._memory, self._spent = stream, size, memory, 0

    def read(self, count: int) -> bytes:
        if count > self._left:
            raise UserError(f"not a complete pickle: {count} bytes are declared where {self._left} are left")
        self.spend(_OBJECT_BYTES + count)
        self._left -= count
        return self._stream.read(count)

    def readline(self) -> bytes:
        line = self._stream.readline()
        if not line.endswith(b"\n"):
            raise UserError("not a complete pickle: it ends within a line")
        self.spend(_OBJECT_BYTES + len(line))
        self._left -= len(line)
        return line

    def spend(self, count: int) -> None:
        self._spent += count
        if self._spent > self._memory:
            raise UserError(f"holds more than the {self._memory / _GIB:.1f} GiB of memory that are free")


class _Reader(_Unpickler):
    """The standard library's methods for the instructions in ``_ALLOWED``, where none is here to replace them."""

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream, encoding="latin1")  # text of Python 2
        self._spend = stream.spend

    def find_class(self, module: str, name: str) -> Name:
        """The name alone; ``load_reduce`` calls what stands in for it."""
        named = f"{module}.{name}"
        if named not in CALLS:
            raise UserError(f"refused: it names {named[:80]!r}, which no array needs; nothing of it was run")
        return Name(named)

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        call = CALLS[function] if isinstance(function, Name) else None
        if call is None or not isinstance(arguments, tuple):
            raise UserError(f"refused: it calls a {type(function).__name__}, which no array needs")
        self._spend_copies(arguments)
        self.append(call(*arguments))

    def load_build(self) -> None:
        state, changed = self.stack.pop(), self.stack[-1]
        if not isinstance(changed, Type | Array):
            raise UserError(f"refused: it changes a {type(changed).__name__}, which no array needs")
        self._spend_copies(state)
        changed.fill(state)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._set(items)

    def load_setitem(self) -> None:
        self._set([self.stack.pop(-2), self.stack.pop()])

    def load_setitems(self) -> None:
        self._set(self.pop_mark())

    def load_bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(self.read(size))  # as bytes, which nothing here writes to

    def load_frame(self) -> None:
        self.read(8)  # a size, of use to readers that read ahead

    def _set(self, items: list[Any]) -> None:
        changed = self.stack[-1]
        if not isinstance(changed, dict):
            raise UserError(f"refused: it changes a {type(changed).__name__}, which no array needs")
        # To hash a tuple of tuples can overflow the stack or never end; equal hashes of numbers can be chosen.
        if not all(isinstance(key, str | bytes) for key in items[::2]):
            raise UserError("refused: it has keys that are not text, which no array needs")
        changed.update(zip(items[::2], items[1::2], strict=True))

    def _spend_copies(self, arguments: Any) -> None:
        """Text that becomes bytes, again with every call that is given it."""
        self._spend(sum(len(argument) for argument in arguments if isinstance(argument, str)))


def _refuse(instruction: pickletools.OpcodeInfo, reader: _Reader) -> None:
    argument = instruction.arg.reader(reader) if instruction.arg else None
    named = f" {argument!r}" if isinstance(argument, str) else ""
    raise UserError(f"refused: it asks for {instruction.name}{named[:80]}, which no array needs")


_Reader.dispatch = {
    ord(instruction.code): getattr(_Reader, _Unpickler.dispatch[ord(instruction.code)].__name__)
    if instruction.name in _ALLOWED
    else functools.partial(_refuse, instruction)
    for instruction in pickletools.opcodes
}
