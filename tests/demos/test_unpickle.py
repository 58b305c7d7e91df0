"""Pickles of arrays are read as pickle reads them; a pickle that names anything else is refused before it acts."""

import collections
import os
import pickle
import struct
import subprocess

import numpy as np
import pytest

from patchail_jax.demos import unpickle
from patchail_jax.demos.pickled_array import Array
from patchail_jax.errors import UserError

MEMORY = 10**8


def plain(value):
    """Stand-ins as numpy's arrays again."""
    if isinstance(value, Array):
        return [plain(item) for item in value.items] if value.numbers is None else value.numbers
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def objects(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


def read(tmp_path, content, memory=MEMORY):
    path = tmp_path / "some.pkl"
    path.write_bytes(content)
    return unpickle.load(path, memory=memory)


def refusal(tmp_path, content, memory=MEMORY):
    with pytest.raises(UserError) as caught:
        read(tmp_path, content, memory)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'some.pkl'}: ") and "\n" not in message and len(message) < 400
    return message


RNG = np.random.default_rng(0)
STACKS = RNG.integers(256, size=(2, 5, 9, 4, 4), dtype=np.uint8)
GOOD = [
    STACKS,
    np.asfortranarray(RNG.normal(size=(3, 4))),
    objects(RNG.normal(size=3).astype(np.float32), STACKS[0]),
    [np.float32(1.5), np.arange(3, dtype=">i4"), np.zeros((2, 0)), np.array(True)],
    {"a": 10**30, "b": (None, True, False, -1, 2.5, "text", b"bytes")},
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("older", [False, True])
def test_arrays_lists_and_numbers_are_read_as_pickle_reads_them(tmp_path, protocol, older):
    content = pickle.dumps(GOOD, protocol=protocol)
    if older and protocol < 4:  # as numpy 1 wrote it; from protocol 4 on names carry their lengths
        content = content.replace(b"numpy._core.", b"numpy.core.")
    got = plain(read(tmp_path, content))
    for array, wanted in zip([*got[:2], *got[2], *got[3]], [*GOOD[:2], *GOOD[2], *GOOD[3]], strict=True):
        np.testing.assert_array_equal(array, wanted)
        assert array.dtype == wanted.dtype
    assert got[4] == {"a": 10**30, "b": [None, True, False, -1, 2.5, "text", b"bytes"]}


class Exploit:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def touch(tmp_path):
    """A shell command that leaves something behind."""
    return f"touch {tmp_path / 'broken_in'}"


HIDDEN = {
    "bare": lambda exploit: exploit,
    "in a list": lambda exploit: [STACKS, exploit],
    "in an object array": lambda exploit: [objects(STACKS, exploit), STACKS],
    "in an object array in an object array": lambda exploit: objects(objects(objects(exploit))),
    "as a key": lambda exploit: {exploit: 1},
    "as an argument": lambda exploit: Exploit(np.dtype, exploit),
}


@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN.keys())
@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda command: Exploit(os.system, command), f"{os.name}.system"),
        (lambda command: Exploit(eval, f"__import__('os').system('{command}')"), "eval"),
        (lambda command: Exploit(exec, f"import os; os.system('{command}')"), "exec"),
        (lambda command: Exploit(subprocess.check_call, command.split()), ".check_call"),
        (lambda command: Exploit(np.load, command), "numpy.load"),
        (lambda command: Exploit(getattr, os, "system"), "getattr"),
        (lambda command: Exploit(collections.deque, [1]), "collections.deque"),
    ],
)
def test_exploits_are_refused_by_name_and_do_nothing(tmp_path, make, named, protocol, hide):
    try:
        content = pickle.dumps(hide(make(touch(tmp_path))), protocol=protocol)
    except TypeError:  # a module cannot be pickled: by hand
        content = b"c__builtin__\ngetattr\n(cos\nsystem\nS'x'\ntR."
    message = refusal(tmp_path, content)
    assert "refused" in message and named in message
    assert not (tmp_path / "broken_in").exists()


def short(text):
    return b"\x8c" + bytes([len(text)]) + text


NDARRAY = b"cnumpy\nndarray\n"
EMPTY = b"cnumpy._core.multiarray\n_reconstruct\n(" + NDARRAY + b"(I0\ntC\x01btR"
FLOATS = b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8I0\nI1\ntR"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cposix\nsystem\n(S'true'\ntR.", "names 'posix.system'"),
        (b"(S'true'\niposix\nsystem\n.", "INST 'posix system'"),
        (b"(cnumpy\nndarray\nS'x'\no.", "asks for OBJ"),
        (b"\x80\x04" + short(b"os") + short(b"system") + b"\x93.", "names 'os.system'"),
        (b"\x80\x04" + short(b"numpy") + short(b"ndarray.__init__") + b"\x93.", "names 'numpy.ndarray.__init__'"),
        (b"\x80\x04" + short(b"a\nb") + short(b"c") + b"\x93.", r"a\\nb"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"Psomething\n.", "PERSID"),
        (b"\x80\x02" + NDARRAY + b")\x81.", "NEWOBJ"),
        (NDARRAY + b"(I3\ntR.", "calls a Name"),
        (b"(lS'x'\n(tR.", "calls a str"),
        (b"(l(I1\nI2\ntb.", "changes a list"),
        (FLOATS + b"N(S'code'\nS'x'\ndb.", "structures|not a complete|changes"),
        (b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.", "encodes something"),
        (b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.", "arrays of 'V8'"),
        (b"cnumpy\ndtype\n((S'a'\nS'O'\nttR.", "only numbers"),
        (b"cnumpy._core.multiarray\n_reconstruct\n(S'builtins.eval'\n(I0\ntC\x01btR.", "unknown class"),
    ],
)
def test_programs_written_by_hand_are_refused(tmp_path, content, said):
    assert any(part in refusal(tmp_path, content) for part in said.replace("\\\\", "\\").split("|"))


def numbers(shape, data):
    """An array that declares one shape and brings other bytes."""
    return EMPTY + b"(I1\n" + shape + FLOATS + b"I00\n" + b"B" + struct.pack("<I", len(data)) + data + b"tb."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (numbers(b"(I1000000000000\nt", b"\0" * 8), "8,000,000,000,000 bytes, and has 8"),
        (numbers(b"(I-1\nt", b"\0" * 8), "shape (-1,)"),
        (numbers(b"(I9\nI9\nI9\nI9\nI9\nI9\nI9\nI9\nI9\nt", b""), "shape"),
        (numbers(b"(L99999999999999999999999999999999L\nt", b""), "and has 0"),
        (numbers(b"(S'a'\nt", b"\0" * 8), "shape"),
        (numbers(b"(I1\nt", b"\0" * 7), "and has 7"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"abc", "are declared where 3 are left"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**64 - 1) + b"abc", "not a complete pickle"),
        (b"\x80\x04\x96" + struct.pack("<Q", 2**50) + b"abc", "are declared where 3 are left"),
        (b"\x80\x04\x8d" + struct.pack("<Q", 2**50) + b"abc", "are declared where 3 are left"),
        (b"B" + struct.pack("<I", 2**32 - 1) + b"abc", "are declared where 3 are left"),
        (b"\x8b" + struct.pack("<i", 2**31 - 1) + b"abc", "are declared where 3 are left"),
        (b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.", ""),
        (b"I" + b"9" * 10**5 + b"\n.", "not a complete pickle"),
        (b"r" + struct.pack("<I", 2**32 - 1) + b".", "not a complete pickle"),
    ],
)
def test_oversized_headers_take_no_memory(tmp_path, content, said):
    if not said:
        assert read(tmp_path, content) is None  # a frame is a hint to readers, and none is needed here
        return
    assert said in refusal(tmp_path, content)


def test_deep_nesting_and_many_small_objects_end_in_one_line(tmp_path):
    assert "memory" in refusal(tmp_path, b"(" * 2 * 10**5 + b".", memory=10**7)
    deep = read(tmp_path, b"]" * 10**5 + b"a" * (10**5 - 1) + b".")
    assert len(deep) == 1
    assert "memory" in refusal(tmp_path, b"]" * 2 * 10**5 + b".", memory=10**7)
    copies = b"X" + struct.pack("<I", 10**6) + b"x" * 10**6 + b"q\x00" + b"c_codecs\nencode\n(h\x00S'latin1'\ntR" * 100
    assert "memory" in refusal(tmp_path, copies + b".", memory=10**7)
    as_argument = b"c_codecs\nencode\n(" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"S'latin1'\ntR."
    assert "encodes something" in refusal(tmp_path, as_argument)
    as_type = b"cnumpy\ndtype\n(" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"tR."
    assert "it holds arrays of [[[[[[[...]]]]]]]; only numbers can be read" in refusal(tmp_path, as_type)


def test_a_file_larger_than_memory_is_not_read(tmp_path):
    path = tmp_path / "large.pkl"
    with path.open("wb") as stream:
        stream.truncate(20 * 1024**3)  # a sparse file: 20 GB that take no room
    with pytest.raises(UserError, match=r"has 20.0 GiB, and 4.0 GiB of memory are free"):
        unpickle.load(path, memory=4 * 1024**3)


def test_a_pickle_that_is_cut_short_is_said_to_be(tmp_path):
    content = pickle.dumps(GOOD)
    for length in [*range(60), *range(60, len(content), 97)]:
        assert "complete pickle" in refusal(tmp_path, content[:length]) or length == 0


def test_random_damage_never_ends_in_a_traceback(tmp_path):
    content, rng = bytearray(pickle.dumps(GOOD, protocol=2)), np.random.default_rng(1)
    for _ in range(400):
        damaged = bytearray(content)
        for position in rng.integers(len(content), size=3):
            damaged[position] = rng.integers(256)
        try:
            plain(read(tmp_path, bytes(damaged)))
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"\0", b"PK\x03\x04", b"not a pickle", b"."])
def test_other_files_are_refused(tmp_path, content):
    refusal(tmp_path, content)
    with pytest.raises(UserError, match="no such file"):
        unpickle.load(tmp_path / "missing.pkl", memory=MEMORY)


def test_a_second_object_in_the_file_is_refused_not_lost(tmp_path):
    assert "write one list of all demonstrations by one dump" in refusal(
        tmp_path, pickle.dumps([1]) + pickle.dumps([2])
    )
