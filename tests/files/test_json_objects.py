"""JSON of anybody's is an object or one line, and what is no ordinary file is not waited for."""

import os

import pytest

from patchail_jax.errors import UserError
from patchail_jax.files import npz
from patchail_jax.files.json_objects import parsed, read_json
from patchail_jax.files.lines import whole_lines

NONE = (
    "",
    "{",
    "[]",
    '"a"',
    "5",
    "null",
    "[" * 10**5,
    '{"a":' * 10**5,
    f'{{"a": 1{"0" * 400}}}',
    f'{{"a": 1{"0" * 5000}}}',
)


@pytest.mark.parametrize(
    "content", [*map(str.encode, NONE), b"\xff", b'{"a": "\xff"}'], ids=lambda content: content[:9]
)
def test_what_is_no_object_is_one_kind_of_error_and_one_line(tmp_path, content):
    with pytest.raises(ValueError, match="."):
        parsed(content)
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"some\.json cannot be read \(.+\): put it back$") as error:
        read_json(path, remedy="put it back")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_an_object_is_read_as_it_is(tmp_path):
    (tmp_path / "some.json").write_text('{"a": [1, 2.5, NaN], "b": 9223372036854775807, "c": "\\ud800"}')
    found = read_json(tmp_path / "some.json", remedy="")
    assert found["a"][:2] == [1, 2.5] and found["b"] == 2**63 - 1 and found["c"] == "\ud800"


def test_no_file_is_said(tmp_path):
    with pytest.raises(UserError, match=r"some\.json cannot be read \(No such file or directory\): make it"):
        read_json(tmp_path / "some.json", remedy="make it")


@pytest.mark.parametrize(
    "read", [whole_lines, lambda path: read_json(path, remedy=""), lambda path: npz.reading(path).__enter__()]
)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is a pipe or a device, not an ordinary file: remove it"):
        read(tmp_path / "pipe")
