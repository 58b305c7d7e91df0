"""``patchail demos``: what it says, what it leaves behind, and what it refuses."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import trajectory
from patchail_jax.outputs.video import write_video
from patchail_jax.programs import demos as program
from patchail_jax.programs.console import start

GREYS = np.linspace(20, 220, 30).round()


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.mp4"
    write_video(path, np.broadcast_to(GREYS[:, None, None, None], (30, 32, 32, 3)).astype(np.uint8), fps=50.0)
    return path


def convert(film, output, *more):
    arguments = ("--task", "cartpole_swingup", "--image_size", "16")
    return program.main(["convert", "video", str(film), str(output), *arguments, *more])


def fail(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        start(program.main, [str(word) for word in words])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_a_video_is_converted_and_inspected(film, tmp_path, capsys):
    output = tmp_path / "expert.npz"
    convert(film, output)
    said = capsys.readouterr().out
    for part in (
        "demonstrations  1, of 29 agent steps",
        "actions         none",
        "--config.env.look=video --config.env.look_size=32",
    ):
        assert part in said
    program.main(["inspect", str(output)])
    said = capsys.readouterr().out
    assert "[1, 30, 16, 16, 3]" in said and f"contact sheet: {tmp_path / 'expert.png'}" in said
    with Image.open(tmp_path / "expert.png") as sheet:
        assert sheet.size == (8 * 16, 16)
        shown = np.asarray(sheet).reshape(16, 8, 16, 3).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(shown, GREYS[np.linspace(0, 29, 8).round().astype(int)], atol=3)


def test_nothing_is_overwritten_without_force_and_nothing_half_is_left(film, tmp_path, capsys, monkeypatch):
    output = tmp_path / "expert.npz"
    convert(film, output)
    before = output.read_bytes()
    assert "use --force" in fail(capsys, "convert", "video", film, output, "--task", "cartpole_swingup", "--end", "0.2")
    assert output.read_bytes() == before
    convert(film, output, "--force", "--end", "0.2")
    assert trajectory.load(output).frames.shape[1] == 10
    kept = output.read_bytes()

    def die(stream, **arrays):
        stream.write(b"half of a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(trajectory.np, "savez_compressed", die)
    assert convert(film, output, "--force") == 130
    assert output.read_bytes() == kept
    assert sorted(file.name for file in tmp_path.iterdir()) == ["expert.npz", "film.mp4"]


def test_pictures_of_states_are_drawn_for_the_sheet(tmp_path, tiny, capsys):
    path = tmp_path / "states.npz"
    trajectory.save(path, tiny)
    program.main(["inspect", str(path), "--sheet", str(tmp_path / "sheet.png"), "--image_size", "24"])
    said = capsys.readouterr().out
    assert "states          float64 [3, 5, 4]" in said and "returns         mean" in said
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (8 * 24, 3 * 24) and np.asarray(sheet).std() > 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--task", "walker_walk"], "not of 'walker_walk'"),
        (["--action_repeat", "3"], "must be a multiple, not 3"),
        (["--image_size", "84"], "holds frames of 16 pixels, not 84"),
    ],
)
def test_what_training_would_refuse_is_refused(film, tmp_path, capsys, more, said):
    convert(film, tmp_path / "expert.npz")
    capsys.readouterr()
    assert said in fail(capsys, "inspect", tmp_path / "expert.npz", *more)
    assert not (tmp_path / "expert.png").exists()


def test_a_file_cut_short_is_refused(film, tmp_path, capsys):
    output = tmp_path / "expert.npz"
    convert(film, output)
    output.write_bytes(output.read_bytes()[:-30])
    assert "not a complete .npz file" in fail(capsys, "inspect", output)


def test_states_of_another_size_are_refused(tmp_path, tiny, capsys):
    trajectory.save(tmp_path / "a.npz", tiny._replace(states=np.zeros((3, 5, 9))))
    assert "a state of cartpole_swingup has 4 numbers, not 9" in fail(capsys, "inspect", tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda frames: frames[:, :1].repeat(30, axis=1), "nothing moves in 100% of the steps"),
        (lambda frames: np.full_like(frames, 7), "the frames show one colour"),
    ],
)
def test_what_nobody_wants_is_noted(film, tmp_path, capsys, change, note):
    convert(film, tmp_path / "expert.npz")
    held = trajectory.load(tmp_path / "expert.npz")
    trajectory.save(tmp_path / "odd.npz", held._replace(frames=change(held.frames)))
    capsys.readouterr()
    program.main(["inspect", str(tmp_path / "odd.npz")])
    assert note in capsys.readouterr().out


def test_a_pickle_is_converted_by_a_program_of_its_own(tmp_path):
    rng = np.random.default_rng(0)
    stacks = rng.integers(256, size=(2, 5, 9, 16, 16), dtype=np.uint8)
    payload = [stacks, np.zeros((2, 5, 3)), rng.uniform(-1, 1, size=(2, 5, 6)), rng.uniform(size=(2, 5))]
    (tmp_path / "expert_demos.pkl").write_bytes(pickle.dumps(payload))
    command = [sys.executable, "-m", "patchail_jax", "demos", "convert", "pickle", str(tmp_path / "expert_demos.pkl")]
    command += [str(tmp_path / "out.npz"), "--task", "walker_walk"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "demonstrations  2, of 4 agent steps" in done.stdout
    assert trajectory.load(tmp_path / "out.npz", expected_task="walker_walk").actions.shape == (2, 4, 6)
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 2 and again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "VERB"),
        (["play"], "invalid choice"),
        (["convert"], "FORM"),
        (["convert", "video", "a.mp4", "b.npz"], "--task"),
        (["convert", "video", "a.mp4", "b.npy", "--task", "x"], "ends in .npz"),
        (["convert", "video", "a.mp4", "b.npz", "--task", "x", "--crop", "1,2"], "--crop"),
        (
            ["convert", "video", "a.mp4", "b.npz", "--task", "x", "--image_size", "0"],
            "--image_size: '0' is no whole number from 8",
        ),
        (["convert", "pickle", "a.pkl", "b.npz", "--task", "x"], "a.pkl: no such file"),
        (["convert", "hdf5", "a.hdf5", "b.npz", "--task", "x"], "a.hdf5: no such file"),
        (["convert", "video", "a.mp4", "b.npz", "--task", "x", "--split", "1,x"], "--split"),
        (["convert", "video", "a.mp4", "b.npz", "--task", "x", "--flip", "sideways"], "--flip"),
        (["convert", "video", "a.mp4", "b", "c.mp4", "d.txt", "--task", "x"], "d.txt: .* or to a folder"),
        (["convert", "pickle", "a.pkl", "b.npz", "--task", "x", "--action_bounds", "1:0"], "--action_bounds"),
        (
            ["convert", "pickle", "a.pkl", "b.npz", "--task", "x", "--action_scale=2", "--no_actions"],
            "not allowed with",
        ),
        (["convert", "pickle", "a.pkl", "b.npz", "--task", "x", "--layout", "sideways"], "--layout"),
        (
            ["convert", "pickle", "a.pkl", "b.npz", "--task", "x", "--memory", "nan"],
            "--memory: 'nan' is no number of gigabytes",
        ),
        (["convert", "npz", "a.npz", "b.npz", "--task", "x"], "a.npz: no such file"),
        (["convert", "lerobot", "a", "b.npz", "--task", "x"], "a: no LeRobot dataset"),
        (["convert", "lerobot", "a", "b.npz", "--task", "x", "--episodes", "9-0"], "--episodes"),
        (
            ["convert", "minari", "mine/a-v0", "b.npz", "--task", "x"],
            "minari mine/a-v0: is not on this machine: fetch it",
        ),
        (["inspect", "a.npz"], "no such file"),
        (["record", "no_run", "b.npz"], "no_run is not the folder of a run"),
        (["record", "no_run", "/etc/hostname/b.npz"], "/etc/hostname is a file: name a folder"),
        (["record", "no_run", "b.npz", "--episodes", "0"], "--episodes: '0' is no whole number from 1"),
        (["record", "no_run", "b.npz", "--seed", "-1"], "--seed: '-1' is no whole number from 0"),
        (["record", "no_run", "b.npz", "--seed", "4294967296"], "--seed: '4294967296' is more than 4294967295"),
        (["inspect", "a.npz", "--image_size", "-3"], "--image_size: '-3' is no whole number from 8"),
        (["inspect", "a.npz", "--image_size", "99999"], "--image_size: '99999' is more than 4096"),
        (["inspect", "a.npz", "--action_repeat", "0"], "--action_repeat: '0' is no whole number from 1"),
        (["inspect", "a.png"], "a.png: convert it first: patchail demos convert video"),
        (["inspect", "a.jpg"], "a.jpg: is a picture; a folder of them is converted by patchail demos convert video"),
        (["convert", "pickle", "a.pkl", "b.npz", "--task", "x", "--action_bounds", "-2:2"], "a.pkl: no such file"),
        (["convert", "pickle", "a.pkl", "b.npz", "--task", "x", "--action_bounds", "-.5:2,0:1"], "a.pkl: no such file"),
        (["convert", "video", "-1.mp4", "b.npz", "--task", "x", "--control_rate=1"], "-1.mp4: no such video"),
        (["convert", "video", "a.mp4", "b.npz", "--task", "x", "-9"], "unrecognized arguments: -9|-9: demonstrations"),
        (["convert", "video", "a.mp4", ".npz", "--task", "x"], ".npz: give the file a name, such as NAME.npz"),
    ],
)
def test_wrong_words_are_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert re.search(said, fail(capsys, *words))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sheet", ["demos.npz", "sheet.jpg", "./demos.npz"])
def test_a_contact_sheet_is_no_other_file(tmp_path, tiny, sheet, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trajectory.save(tmp_path / "demos.npz", tiny)
    before = (tmp_path / "demos.npz").read_bytes()
    error = fail(capsys, "inspect", "demos.npz", "--sheet", sheet, "--image_size", "24")
    assert error.endswith("give a name of its own that ends in .png\n")
    assert (tmp_path / "demos.npz").read_bytes() == before and not (tmp_path / "sheet.jpg").exists()
