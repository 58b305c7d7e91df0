"""One run a folder, one process a run."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from patchail_jax.errors import UserError
from patchail_jax.storage.run_config import flatten
from patchail_jax.storage.run_folder import finished_frames, is_running, open_run

CONFIG = {"method": "patchail", "seed": 1, "env": {"task": "cheetah_run", "workers": "process"}, "log": {"every": 5}}


def begin(path):
    """A run that has begun, and ended."""
    run = open_run(path, config=CONFIG)
    run.describe(CONFIG)
    run.close()


@pytest.mark.parametrize(
    "content",
    ["", '{"seed": 1, "env": {"ta', "[1]", '{"seed": 1}', '{"method": "patchail", "env": 3}', "\xff", "[" * 10**5],
)
def test_a_damaged_config_is_refused_in_one_line_and_left_as_it_is(tmp_path, content):
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(
        UserError, match=r"is not the folder of a run: .*config\.json .*: put it back, or choose another folder$"
    ) as refused:
        open_run(tmp_path, config=CONFIG)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "config.json").read_text(encoding="latin-1") == content
    assert not is_running(tmp_path)  # the lock is free again


@pytest.mark.parametrize(
    "content", ["", "[]", '{"frames": 3}', '{"num_frames": null}', '{"num_frames": 1e999}', "[" * 10**5]
)
def test_a_damaged_word_of_the_end_does_not_count_as_one(tmp_path, content):
    (tmp_path / "finished.json").write_text(content)
    assert finished_frames(tmp_path) == 0


def test_a_start_that_is_refused_leaves_no_config_behind(tmp_path):
    open_run(tmp_path, config=CONFIG).close()
    assert not (tmp_path / "config.json").exists()
    open_run(tmp_path, config={**CONFIG, "seed": 2}).close()


def test_config_and_versions_are_written(tmp_path):
    run = open_run(tmp_path / "a" / "b", config=CONFIG)
    run.describe(CONFIG)
    assert json.loads((run.path / "config.json").read_text()) == CONFIG
    versions = json.loads((run.path / "versions.json").read_text())
    assert versions["jax"] and versions["mujoco"] and "git_commit" in versions
    run.close()


def test_the_same_config_opens_the_folder_again(tmp_path):
    begin(tmp_path)
    other = {**CONFIG, "log": {"every": 6}, "env": {**CONFIG["env"], "workers": "inline"}}
    run = open_run(tmp_path, config=other)
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG  # until it is known to fit
    run.describe(other)
    run.close()
    assert json.loads((tmp_path / "config.json").read_text()) == other


def test_another_config_is_refused_with_the_field(tmp_path):
    begin(tmp_path)
    other = {**CONFIG, "env": {**CONFIG["env"], "task": "walker_walk"}}
    with pytest.raises(UserError, match="env.task='cheetah_run', not 'walker_walk'"):
        open_run(tmp_path, config=other)
    assert json.loads((tmp_path / "config.json").read_text()) == CONFIG


def test_another_method_is_named_before_the_fields_that_go_with_it(tmp_path):
    begin(tmp_path)
    with pytest.raises(UserError, match="holds a run with method='patchail', not 'bc'"):
        open_run(tmp_path, config={**CONFIG, "method": "bc", "env": {**CONFIG["env"], "image_size": 32}, "seed": 2})


def test_checkpoints_without_a_config_are_no_run_of_any_config(tmp_path):
    begin(tmp_path)
    (tmp_path / "checkpoints" / "50").mkdir(parents=True)
    (tmp_path / "config.json").unlink()
    with pytest.raises(UserError, match="has checkpoints and no config.json to say which run's: put it back, or set"):
        open_run(tmp_path, config={**CONFIG, "seed": 1})
    (tmp_path / "checkpoints" / "50").rmdir()  # an empty folder of checkpoints is no run
    open_run(tmp_path, config=CONFIG).close()


def test_a_field_that_the_run_s_version_did_not_have_is_said(tmp_path, caplog):
    begin(tmp_path)
    newer = {**CONFIG, "env": {**CONFIG["env"], "quality": "full"}}
    run = open_run(tmp_path, config=newer)
    run.describe(newer)
    run.close()
    assert "without config.env.quality; it resumes with 'full'" in caplog.text
    with pytest.raises(UserError, match="env.quality='full', not None"):
        open_run(tmp_path, config=CONFIG)  # a field that has gone may have meant something


def test_a_second_process_is_refused_and_a_dead_one_does_not_block(tmp_path):
    run = open_run(tmp_path, config=CONFIG)
    code = "\n".join(
        [
            "from pathlib import Path",
            "from patchail_jax.storage.run_folder import open_run",
            f"open_run(Path({str(tmp_path)!r}), config={CONFIG!r})",
        ]
    )
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert second.returncode != 0 and "another process is running" in second.stderr
    run.close()
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_process_that_was_killed_leaves_no_lock(tmp_path):
    code = f"""
import time
from pathlib import Path
from patchail_jax.storage.run_folder import open_run
run = open_run(Path({str(tmp_path)!r}), config={CONFIG!r})
print("open", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n" and is_running(tmp_path)
    began = time.monotonic()
    with pytest.raises(UserError, match="another process is running") as error:
        open_run(tmp_path, config=CONFIG)
    assert time.monotonic() - began < 5 and "\n" not in str(error.value)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not is_running(tmp_path)
    begin(tmp_path)


def test_a_folder_that_is_removed_and_that_another_run_begins_in_is_that_run_s(tmp_path):
    first = open_run(tmp_path / "run", config=CONFIG)
    first.describe(CONFIG)
    assert first.hold()
    shutil.rmtree(first.path)
    first.refuse_another()
    second = open_run(first.path, config=CONFIG)
    for stage in ("making its parts", "training", "ended"):
        for write in (first.hold, first.refuse_another, lambda: first.finish(100)):
            with pytest.raises(UserError, match="another run has begun there: this one ends") as error:
                write()
            assert "\n" not in str(error.value)
        if stage == "making its parts":
            second.describe(CONFIG)
        elif stage == "training":
            second.close()
    first.close()
    assert second.hold() and not finished_frames(first.path)
    second.close()


@pytest.mark.parametrize("removed", ["the folder", "the lock"])
@pytest.mark.parametrize("refused", [False, True])
def test_a_lock_that_is_removed_is_taken_again(tmp_path, removed, refused):
    run = open_run(tmp_path / "run", config=CONFIG)
    run.describe(CONFIG)
    if removed == "the lock":
        (run.path / "lock").unlink()
    else:
        shutil.rmtree(run.path)
        if refused:  # a start that came to nothing leaves its lock
            open_run(run.path, config=CONFIG).close()
    assert run.hold() == (removed == "the lock")
    with pytest.raises(UserError, match="another process is running"):
        open_run(run.path, config=CONFIG)
    run.close()
    assert not is_running(run.path)


def test_who_looks_leaves_nothing_behind_and_is_no_run(tmp_path):
    assert not is_running(tmp_path) and not is_running(tmp_path / "missing") and list(tmp_path.iterdir()) == []
    run = open_run(tmp_path, config=CONFIG)
    assert is_running(tmp_path) and is_running(tmp_path)
    run.close()
    with (tmp_path / "lock").open("rb") as stream:  # another one that looks
        fcntl.flock(stream, fcntl.LOCK_SH)
        assert not is_running(tmp_path)


def test_a_run_that_starts_while_somebody_looks_is_not_refused(tmp_path):
    begin(tmp_path)
    looking = (tmp_path / "lock").open("rb")
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.1, looking.close).start()
    begin(tmp_path)


def test_a_lock_that_may_only_be_read_can_be_looked_at(tmp_path, monkeypatch):
    run = open_run(tmp_path, config=CONFIG)
    opened, real = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": opened.append(mode) or real(path, mode))
    assert is_running(tmp_path) and opened == ["rb"]
    run.close()


def test_a_lock_that_cannot_be_opened_is_one_line(tmp_path):
    begin(tmp_path)
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").mkdir()
    with pytest.raises(UserError, match="cannot be written .*; set config.run_folder") as error:
        open_run(tmp_path, config=CONFIG)
    assert "\n" not in str(error.value)


def test_a_refused_config_frees_the_lock_while_its_error_lives(tmp_path):
    begin(tmp_path)
    with pytest.raises(UserError) as error:
        open_run(tmp_path, config={**CONFIG, "seed": 2})
    begin(tmp_path)
    assert "seed=1, not 2" in str(error.value)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_not_another_run(tmp_path, monkeypatch, number):
    def no_locks(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(UserError, match=f"cannot be locked .{os.strerror(number)}."):
        open_run(tmp_path, config=CONFIG)
    assert not is_running(tmp_path)


def test_fields_have_dotted_names():
    assert flatten({"a": 1, "b": {"c": [2], "d": {"e": None}, "f": {}}}) == {"a": 1, "b.c": [2], "b.d.e": None}


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        open_run(tmp_path / "file" / "run", config=CONFIG)


def test_a_mark_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    """It is not taken for a run that has not ended, nor versions for those of no renderer."""

    def broken(self):
        raise OSError(errno.EIO, "Input/output error")

    run = open_run(tmp_path / "run", config={})
    run.describe({}, renderer="one")
    written = (run.path / "versions.json").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", broken)
        for read in (lambda: finished_frames(run.path), lambda: run.describe({}, renderer="two", resumed=True)):
            with pytest.raises(UserError, match=r"json cannot be read \(Input/output error\)"):
                read()
    assert (run.path / "versions.json").read_bytes() == written and finished_frames(run.path) == 0
    run.close()


def test_an_end_that_cannot_be_marked_is_one_line_and_no_end(tmp_path, monkeypatch):
    run = open_run(tmp_path, config=CONFIG)

    def refuse(*rest):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", refuse)
        with pytest.raises(UserError, match="not marked as finished: .* Fix the disk"):
            run.finish(100)
    assert finished_frames(tmp_path) == 0
    run.finish(100)
    assert finished_frames(tmp_path) == 100
    run.close()
