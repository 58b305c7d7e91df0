"""What ``patchail demos`` writes: no file of somebody's is replaced, and what is said of it is true."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import description, trajectory
from patchail_jax.demos.form import Trajectories
from patchail_jax.programs import demos as program
from tests.programs.test_demos import fail

FRAMES = np.random.default_rng(0).integers(256, size=(2, 6, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def own(tmp_path):
    """A file of demonstrations of a task of one's own."""
    trajectory.save(tmp_path / "own.npz", made())
    return tmp_path / "own.npz"


def made(**metadata):
    return Trajectories(None, None, None, {"task": "my_robot", "action_repeat": 2} | metadata, frames=FRAMES)


def convert(own, output, *more):
    return program.main(["convert", "npz", str(own), str(output), "--task", "my_robot", *more])


def test_a_contact_sheet_replaces_contact_sheets_alone(own, tmp_path, capsys):
    program.main(["inspect", str(own)])
    sheet = tmp_path / "own.png"
    first = sheet.read_bytes()
    trajectory.save(own, made()._replace(frames=FRAMES[:, ::-1].copy()))
    program.main(["inspect", str(own)])
    assert sheet.read_bytes() != first
    Image.fromarray(FRAMES[0, 0]).save(sheet)
    theirs = sheet.read_bytes()
    capsys.readouterr()
    for name in (sheet, tmp_path / "link.png"):
        (tmp_path / "link.png").unlink(missing_ok=True)
        (tmp_path / "link.png").symlink_to(sheet)
        assert "is not known to be a contact sheet, and stays: remove it, or name another" in fail(
            capsys, "inspect", own, "--sheet", name
        )
    assert sheet.read_bytes() == theirs
    sheet.write_bytes(b"")
    assert "is not known to be a contact sheet" in fail(capsys, "inspect", own)
    program.main(["inspect", str(own), "--sheet", str(tmp_path / "other.png")])
    assert (tmp_path / "other.png").exists()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("there", [False, True])
def test_after_ctrl_c_what_is_said_of_the_file_is_true(own, tmp_path, capsys, monkeypatch, when, there):
    real, output = trajectory.save, tmp_path / "out.npz"
    if there:
        output.write_bytes(b"old")

    def stopped(*names, **more):
        if when == "after":
            real(*names, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(trajectory, "save", stopped)
    assert convert(own, output, "--force") == 130
    said = capsys.readouterr().err
    if when == "after":
        assert said == f"stopped; {output} was written before, and is whole\n"
        assert len(trajectory.load(output).steps) == 2
    else:
        assert said == "stopped; nothing was written\n" and output.exists() == there


def test_what_is_said_is_made_before_the_file(own, tmp_path, monkeypatch):
    def fails(held):
        raise ZeroDivisionError

    monkeypatch.setattr(description, "describe", fails)
    with pytest.raises(ZeroDivisionError):
        convert(own, tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_file_that_appears_meanwhile_is_replaced_with_force_alone(own, tmp_path, capsys, monkeypatch, force):
    real, output = program.convert, tmp_path / "out.npz"

    def slow(options):
        output.write_bytes(b"theirs")
        return real(options)

    monkeypatch.setattr(program, "convert", slow)
    words = ["convert", "npz", own, output, "--task", "my_robot", *force]
    if force:
        program.main([str(word) for word in words])
        assert len(trajectory.load(output).steps) == 2
    else:
        assert "out.npz already exists, and was left as it is" in fail(capsys, *words)
        assert output.read_bytes() == b"theirs"


def test_a_link_to_itself_is_one_line(tmp_path, capsys):
    for name, to in (("a.npz", "b.npz"), ("b.npz", "a.npz")):
        (tmp_path / name).symlink_to(tmp_path / to)
    assert "no such file of demonstrations" in fail(capsys, "inspect", tmp_path / "a.npz")
    assert "no such video" in fail(
        capsys, "convert", "video", tmp_path / "a.npz", tmp_path / "c.npz", "--task", "x", "--control_rate", "5"
    )
    for name in (".", "/", ""):
        assert "error" in fail(capsys, "inspect", name)


@pytest.mark.parametrize("words", [["inspect", "{}"], ["convert", "npz", "{}", "out.npz", "--task", "my_robot"]])
def test_names_that_the_terminal_has_no_signs_for_are_written_all_the_same(own, tmp_path, words):
    trajectory.save(own, made(source="größe\udcff"))
    name = os.fsdecode(b"b\xff.npz")
    own.rename(tmp_path / name)
    command = [sys.executable, "-m", "patchail_jax", "demos", *(word.format(name) for word in words)]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert r"gr\xf6\xdfe\udcff" in done.stdout and len(list(tmp_path.iterdir())) == 2


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lerobot", "--episodes", "0-99999999999"], "'0-99999999999' makes more than 100000 numbers"),
        (["lerobot", "--episodes", "0-60000,0-60000"], "makes more than 100000 numbers"),
        (["lerobot", "--episodes", HUGE], "is no episode, nor a range"),
        (["npz", "--action_repeat", HUGE], "--action_repeat: '1000.*' is more than 1000000000"),
        (["npz", "--memory", "1e300"], "--memory: '1e300' is no number of gigabytes above 0, from 0.00098 to 1e.09"),
        (["npz", "--memory", "inf"], "--memory: 'inf' is no number of gigabytes above 0"),
        (["video", "--frames_per_second", "1e-320"], "'1e-320' is no number above 0, from 1e-06 to 1e.09"),
        (["video", "--control_rate", "1e300"], "'1e300' is no number above 0, from 1e-06 to 1e.09"),
    ],
)
def test_numbers_that_nobody_means_are_one_line(own, tmp_path, capsys, words, said):
    form, *flags = words
    error = fail(capsys, "convert", form, own, tmp_path / "out.npz", "--task", "my_robot", *flags)
    assert len(error) < 800
    assert re.search(said, error), error


def test_a_file_with_an_action_repeat_that_nobody_means_is_refused(own, capsys):
    with np.load(own) as held:
        arrays = dict(held)
    for repeat, said in ((HUGE, "from 1 to 1000000000, not 1000"), ("1000000001", "not 1000000001"), ("0", "not 0")):
        text = arrays["metadata"].item().replace('"action_repeat": 2', f'"action_repeat": {repeat}')
        np.savez(own, **(arrays | {"metadata": np.array(text)}))
        assert said in fail(capsys, "inspect", own)


def test_what_a_file_says_of_itself_stays_on_its_line(own, capsys):
    trajectory.save(own, made(source="a\x1b[2J", notes=["größe\nwritten: elsewhere"]))
    program.main(["inspect", str(own)])
    said = capsys.readouterr().out
    assert "\x1b" not in said and r"a\x1b[2J" in said and r"größe\nwritten: elsewhere" in said
