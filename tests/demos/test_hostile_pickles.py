"""Pickles that name nothing forbidden, and crash, hang or fill up a reader that takes them at their word."""

import struct
import subprocess
import sys

import numpy as np
import pytest

from tests.demos.test_unpickle import EMPTY, FLOATS, NDARRAY, numbers, plain, read, short


def tower(pairs):
    """A tuple of two equal tuples of two equal tuples: ``pairs`` instructions, and 2**pairs leaves for who walks it."""
    return b")" + b"2\x86" * pairs


HUGE = b"\x8b" + struct.pack("<i", 10**7) + b"\x01" * 10**7  # an integer of 10 MB
HOSTILE = {
    "a key whose hash overflows the stack": (b"}" + b")" + b"\x85" * 10**6 + b"Ns.", "keys that are not text"),
    "a key whose hash never ends": (b"}" + tower(60) + b"Ns.", "keys that are not text"),
    "such a key among others": (b"}(S'a'\nN" + tower(60) + b"Nu.", "keys that are not text"),
    "such a key in a dict of marks": (b"(" + tower(60) + b"Nd.", "keys that are not text"),
    "numbers with one hash": (
        b"}(" + b"".join(b"L%dL\nN" % (n * (2**61 - 1)) for n in range(1, 10)) + b"u.",
        "keys that are not text",
    ),
    "a shape too long to print": (EMPTY + b"(I1\n" + tower(60) + FLOATS + b"I00\nC\0tb.", "an array of shape ((("),
    "a type too long to print": (b"cnumpy\ndtype\n(" + tower(60) + b"tR.", "arrays of (((((((...), (...))"),
    "a shape that takes hours to multiply": (
        EMPTY + b"(I1\n(" + HUGE + b"2222222t" + FLOATS + b"I00\nC\0tb.",
        "an array of shape one too long to write",
    ),
    "nothing, in axes beyond numpy": (
        numbers(b"(I0\nI%d\nI%d\nt" % (2**62, 2**62), b""),
        "array is too big",
    ),
    "a stand-in changed": (b"cnumpy\ndtype\n(N}S'fill'\nNstb.", "changes a Name"),
    "a stand-in's defaults changed": (b"c_codecs\nencode\n(N}S'__defaults__'\n)stb.", "changes a Name"),
    "an array's class changed": (EMPTY + b"}S'__class__'\nNsb.", "in a form that numpy does not write"),
    "an array called": (EMPTY + b"(S'true'\ntR.", "calls a Array"),
    "an array added to": (EMPTY + b"I1\na.", "no attribute 'append'"),
    "a list with a key": (b"]I0\nNs.", "changes a list"),
    "bytes beyond the file": (b"\x80\x05\x96" + struct.pack("<Q", 9 * 10**7) + b"abc", "are declared where 3 are left"),
    "the end of a list without its start": (b"Nl.", "not a complete pickle"),
    "arguments that are no tuple": (b"cnumpy\ndtype\n]R.", "calls a Name"),
    "copyreg's long codes": (b"\x80\x02\x84\x01\x02\x03\x04.", "EXT4"),
    "an identity of another store": (b"]Q.", "BINPERSID"),
    "an object with named arguments": (b"\x80\x04" + NDARRAY + b")}\x92.", "NEWOBJ_EX"),
    "a buffer from elsewhere": (b"\x80\x05\x97.", "NEXT_BUFFER"),
    "a set": (b"\x80\x04\x8f.", "EMPTY_SET"),
    "a frozen set of such a tuple": (b"\x80\x04(" + tower(60) + b"\x91.", "FROZENSET"),
    "a name with its module in the protocol's place": (b"\x80\x04" + short(b"builtins") + b"N\x93.", "not a complete"),
    "a protocol of tomorrow": (b"\x80\x63N.", "unsupported pickle protocol"),
}


READ = """
import resource, sys
from pathlib import Path
from patchail_jax.demos import unpickle
from patchail_jax.errors import UserError

resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for name in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        unpickle.load(Path(name), memory=10**9)
        said = "accepted"
    except UserError as error:
        said = str(error)
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(taken, said, sep="|", flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each hostile file is told, and the MiB that it took: read in another process, which a file might end."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = [folder / f"{number}.pkl" for number in range(len(HOSTILE))]
    for path, (content, _) in zip(paths, HOSTILE.values(), strict=True):
        path.write_bytes(content)
    ran = subprocess.run([sys.executable, "-c", READ, *paths], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = [line.split("|", 1) for line in ran.stdout.splitlines()]
    return {
        name: (path, int(taken), message) for name, path, (taken, message) in zip(HOSTILE, paths, said, strict=True)
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_for_what_they_do_at_once_and_in_little_memory(answers, name):
    path, mebibytes, message = answers[name]
    assert message.startswith(f"{path}: ") and HOSTILE[name][1] in message and len(message) < 400
    assert mebibytes < 100


def test_an_index_of_the_memo_takes_no_memory(tmp_path):
    assert read(tmp_path, b"Nr" + struct.pack("<I", 2**32 - 1) + b".") is None  # the reader in C takes 64 GiB


def test_the_written_bytes_of_python_2_are_read(tmp_path):
    data = np.array([1.5, -2.0]).tobytes()
    text = b"S" + repr(data)[1:].encode() + b"\n"
    got = read(tmp_path, EMPTY + b"(I1\n(I2\nt" + FLOATS + b"I00\n" + text + b"tb.")
    np.testing.assert_array_equal(plain(got), [1.5, -2.0])
