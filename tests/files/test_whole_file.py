"""A file is whole or not there, whatever the disk says."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patchail_jax.files.whole_file import whole_file, write_text
from tests.small_files import no_file_larger_than


def test_a_file_appears_when_it_is_whole_and_what_failed_leaves_the_old_one(tmp_path):
    path = tmp_path / "file"
    for content in ("old", "new"):
        with whole_file(path) as unfinished:
            unfinished.write_text(content)
            assert not path.exists() or path.read_text() == "old"
    with pytest.raises(ZeroDivisionError), whole_file(path) as unfinished:
        unfinished.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_disk_that_refuses_to_remove_what_is_not_there_hides_no_error(tmp_path, monkeypatch):
    def refuse(self, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match="first"), whole_file(tmp_path / "file"):
        raise OSError(errno.EIO, "first")
    with whole_file(tmp_path / "file") as unfinished:
        unfinished.write_text("whole")
    assert (tmp_path / "file").read_text() == "whole"


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("there", ["file", "link to nothing", "nothing"])
def test_what_appears_meanwhile_is_not_replaced_unless_that_is_asked_for(tmp_path, monkeypatch, links, there):
    def refuse(*names):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "file"

    def write(replace):
        with whole_file(path, replace=replace) as unfinished:
            unfinished.write_text("ours")
            if there == "file":
                path.write_text("theirs")
            elif there == "link to nothing":
                path.symlink_to(tmp_path / "nowhere")

    if there == "nothing":
        write(replace=False)
        assert path.read_text() == "ours"
    else:
        with pytest.raises(FileExistsError):
            write(replace=False)
        assert path.is_symlink() or path.read_text() == "theirs"
        path.unlink()
        write(replace=True)
        assert path.read_text() == "ours"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


KILLED = """
import os, signal, sys, pathlib
from patchail_jax.files.whole_file import whole_file
with whole_file(pathlib.Path(sys.argv[1])) as unfinished:
    unfinished.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["file", "a[b]*.npz"])
def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path, name):
    path = tmp_path / name
    subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    (left,) = tmp_path.iterdir()
    dead, alive = left.name.split(".")[-2], str(os.getppid())
    others = [
        tmp_path / left.name.replace(dead, alive),  # somebody writes it now
        tmp_path / left.name.replace(name, "other"),
        tmp_path / left.name.replace(left.name.split(".")[-3], "01234567"),  # of another machine
        tmp_path / left.name.replace(dead, "x"),
    ]
    for other in others:
        other.write_text("half")
    with whole_file(path) as unfinished:
        unfinished.write_text("whole")
    assert set(tmp_path.iterdir()) == {path, *others}


def test_a_text_that_does_not_fit_leaves_the_old_one_and_is_named(tmp_path):
    path = tmp_path / "page.html"
    write_text(path, "old")
    with no_file_larger_than(10), pytest.raises(OSError, match="File too large") as error:
        write_text(path, "x" * 100)
    assert error.value.filename == str(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_sign_that_has_no_bytes_is_replaced(tmp_path):
    write_text(tmp_path / "text", "a\ud800é🎥")
    assert (tmp_path / "text").read_text(encoding="utf-8") == "a?é🎥"
