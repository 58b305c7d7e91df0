"""What an error of a disk or of a file's name says, and whom it blames."""

import errno
from pathlib import Path

import pytest

from patchail_jax.errors import Unavailable, UserError
from patchail_jax.files.trouble import DISK, NAME, not_written, said_of


@pytest.mark.parametrize("number", [*DISK, *NAME, errno.EMFILE, errno.ETIMEDOUT])
def test_every_error_of_a_file_is_one_line_that_says_what_to_do(number):
    for error in (OSError(number, "", "some/x"), OSError(number, "")):
        said = not_written(Path("some/x.npz"), error)
        assert str(said).startswith("some/x.npz cannot be written (") and not str(said).endswith(": ")
        assert "\n" not in str(said) and isinstance(said, Unavailable) == (number in DISK)
    assert said_of(OSError(number, "", "some/x")).startswith("some/x: ")


def test_an_error_that_names_no_file_is_the_program_s_own():
    assert said_of(OSError("a library's")) == said_of(OSError(errno.ECHILD, "no child")) == ""
    assert str(not_written(Path("x"), OSError("a library's"))) == "x cannot be written (a library's): check it"


def test_the_place_above_a_file_that_is_to_blame_is_named(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    path = tmp_path / "loop" / "x.npz"
    with pytest.raises(OSError) as caught:  # noqa: PT011 - whichever of the two Python raises
        path.parent.mkdir(parents=True, exist_ok=True)
    said = not_written(path, caught.value)
    assert isinstance(said, UserError) and not isinstance(said, Unavailable)
    assert f" at {path.parent}): a file, or a link that leads nowhere, is in its place" in str(said)
