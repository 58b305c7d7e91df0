"""A file is whole or not there, whatever the disk says."""

import errno
import os
from pathlib import Path

import pytest

from patchail_jax.files.whole_file import whole_file


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
