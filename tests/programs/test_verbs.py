"""One entry for everything: each verb's help, wrong words in one line, and nothing imported before it is needed."""

import json
import subprocess
import sys

import pytest

from patchail_jax.__main__ import VERBS, main
from patchail_jax.errors import UserError
from patchail_jax.launch.launchers import LAUNCHERS
from patchail_jax.programs.console import start

LONG = ("slurm", "tpu_pod", "kubernetes", "video")  # what they can be told takes more than a screen
PAGES = [
    *([verb, "--help"] for verb in VERBS),
    *(["launch", launcher, "--help"] for launcher in LAUNCHERS),
    *(["demos", *words, "--help"] for words in (["record"], ["inspect"], ["convert"], ["convert", "video"])),
    *(["reports", report, "--help"] for report in ("table1", "curves", "aggregate", "html")),
]


def page(capsys, words):
    """What the help prints; argparse exits by itself, other programs return."""
    try:
        assert not main(words)
    except SystemExit as stop:
        assert not stop.code
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help"], *PAGES], ids=" ".join)
def test_help_fits_a_screen(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = page(capsys, words).splitlines()
    assert lines[0].startswith(f"usage: {' '.join(['patchail', *words[:-1]])}")
    assert len(lines) <= (34 if words[-2:-1] and words[-2] in LONG else 24)
    assert max(map(len, lines)) <= 100


def test_the_first_page_has_every_verb_and_train_s_every_config_and_method(capsys):
    first, train = page(capsys, ["--help"]), page(capsys, ["train", "--help"])
    assert all(f"  {verb} " in first for verb in VERBS)
    for word in ("--print_config", "--profile", "walker_stand", "drqv2_features", "published", "quickstart"):
        assert word in train
    assert "absl" not in train and "flagfile" not in train


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "no verb 'trian'; did you mean patchail train?"),
        (["xyz"], "no verb 'xyz'; use one of train, explain, demos, reports, doctor, bench, evidence, launch"),
        ([], "a verb comes first; use one of train, "),
        (["--config=cheetah"], "a verb comes first; use one of train, "),
        (["launch", "kubernets", "table1"], "no launcher 'kubernets'; did you mean patchail launch kubernetes?"),
        (["launch"], "a launcher comes first; use one of local, slurm, tpu_pod, kubernetes, skypilot"),
        (["launch", "local"], "the following arguments are required: sweep; patchail launch local --help"),
        (["launch", "slurm", "table1", "--cpus=many"], "argument --cpus: 'many' is no whole number from 1"),
        (["bench", "--output"], "argument --output: expected one argument"),
        (["bench", "--quickly"], "quickly"),
        (["train"], "--config is missing, for example --config=cheetah"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_two(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        start(main, words)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.startswith("error: ") and message in error and error.count("\n") == 1


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("patchail_jax 0.")


def test_statuses_are_what_shells_expect(capsys):
    def program(result):
        def run(words):
            if isinstance(result, BaseException):
                raise result
            return result

        return run

    for well in (None, 0):
        start(program(well), [])  # returns
    for result, status, said in (
        (1, 1, ""),
        (UserError("no"), 2, "error: no\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (KeyboardInterrupt(15), 143, "stopped and saved; the same command resumes this run\n"),
    ):
        with pytest.raises(SystemExit) as stop:
            start(program(result), [])
        assert stop.value.code == status and capsys.readouterr().err == said


WRONG = [
    ["train", "--config=cheetah", "--bar=1"],
    ["train", "--config=cheetah", "--config.sed=1"],
    ["explain", "--bar"],
    ["explain"],
    ["demos", "record"],
    ["demos", "play"],
    ["reports", "table2"],
    ["doctor", "--bar=1"],
    ["bench", "--bar=1"],
    ["launch", "local", "table2"],
    ["launch", "kubernetes", "table1"],
]


def test_a_wrong_flag_waits_for_no_jax():
    """One process for all of them: none may have imported what takes long."""
    program = f"""
import contextlib, io, json, sys
from patchail_jax.__main__ import main
from patchail_jax.errors import UserError
for words in {WRONG!r}:
    try:
        main(words)
    except UserError as error:
        print(error)
print(json.dumps(sorted({{"jax", "flax", "orbax", "dm_control", "mujoco", "wandb", "matplotlib"}} & set(sys.modules))))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *lines, imported = result.stdout.splitlines()
    assert len(lines) == len(WRONG) and json.loads(imported) == []
