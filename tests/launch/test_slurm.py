"""The SLURM launcher, with submitit's local executor in the cluster's place, or with stand-ins for SLURM's programs."""

import contextlib
import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest
import submitit

from patchail_jax.errors import UserError
from patchail_jax.launch import slurm
from tests.launch.stand_ins import install
from tests.launch.test_local import FAKE, KEY

WORDS = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0", "--config.num_frames=400", f"--python={FAKE}"]


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.02)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def warn(controller):
    """SLURM's warning, to every process of the task."""
    (task,) = children(controller)
    (run,) = children(task)
    for pid in (run, task):
        os.kill(pid, signal.SIGUSR2)


def diary(root, label):
    path = root / f"finger/patchail/{label}/seed_0/diary"
    return path.read_text().splitlines() if path.exists() else []


def test_a_task_that_loses_its_place_saves_and_runs_again(tmp_path, capsys, monkeypatch):
    submitted = []
    submit = slurm.submit
    monkeypatch.setattr(slurm, "submit", lambda *args, **kwargs: submitted.extend(submit(*args, **kwargs)) or submitted)
    assert slurm.main([*WORDS, f"--root={tmp_path}", "--cluster=local"]) == 0
    assert len(submitted) == 2 and all(job.job_id in capsys.readouterr().out for job in submitted[:1])
    pair, single = submitted
    folder, until = tmp_path / "finger/patchail/pair/seed_0", time.monotonic() + 30
    while "ready" not in (pair.stdout() or "") and time.monotonic() < until:
        time.sleep(0.1)
    warn(pair._process.pid)
    assert pair.result() == single.result() == 0
    assert (folder / "saved").exists()
    assert (len(diary(tmp_path, "pair")), len(diary(tmp_path, "single"))) == (2, 1)
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()

    submitted.clear()
    assert slurm.main([*WORDS, f"--root={tmp_path}", "--cluster=local"]) == 0
    said = capsys.readouterr()
    assert not submitted and (said.out, said.err) == ("nothing is left to do\n", "2 finished\n")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster of stand-ins, and where it keeps the states of tasks. Its machines have a Python of their own."""
    state = install("slurm", tmp_path, monkeypatch, behind=os.environ["PATH"])
    python = tmp_path / PYTHON
    python.write_text(f'#!/bin/sh\n[ "$1" != -u ] || exec "{sys.executable}" "$@"\nexec "{FAKE}" "$@"\n')
    python.chmod(0o755)
    yield state
    (state / "over").touch()


PYTHON = "the cluster's python"


def submit(root, *words):
    assert slurm.main([*WORDS, f"--root={root}", f"--python={root / PYTHON}", *words]) == 0


def wait_until(done):
    until = time.monotonic() + 60
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def processes_of(root, label):
    """The task of a run and the run itself, by what they were started with."""
    folder = str(root / f"finger/patchail/{label}/seed_0")
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if folder in path.read_bytes().decode():
                run = int(path.parent.name)
                found = {"task": int((path.parent / "stat").read_text().rsplit(")", 1)[1].split()[1]), "run": run}
    return found


def waits_to_be_stopped(root, cluster):
    """The processes of the run that waits to be told, when it does."""
    wait_until(lambda: any("ready" in path.read_text() for path in (root / "slurm").glob("*.out")))
    return processes_of(root, "pair")


@pytest.mark.parametrize(
    "told",
    [
        [("task", "SIGTERM"), ("run", "SIGTERM")],  # GraceTime without send_user_signal, to every process
        [("task", "SIGTERM")],
        [("task", "SIGTERM"), ("run", "SIGTERM"), ("task", "SIGUSR2"), ("run", "SIGUSR2")],
        [("run", "SIGUSR2"), ("task", "SIGUSR2"), ("run", "SIGTERM"), ("task", "SIGTERM")],
    ],
    ids=lambda told: "_".join(f"{signal[3:]}_to_{who}" for who, signal in told),
)
def test_every_way_of_taking_the_place_saves_and_queues_again(told, tmp_path, cluster):
    submit(tmp_path)
    processes = waits_to_be_stopped(tmp_path, cluster)
    for who, number in told:
        os.kill(processes[who], signal.Signals[number])
        time.sleep(0.05)
    wait_until(lambda: {path.read_text() for path in cluster.glob("*.state")} == {"COMPLETED"})
    assert (tmp_path / "finger/patchail/pair/seed_0/saved").exists()
    assert (len(diary(tmp_path, "pair")), len(diary(tmp_path, "single"))) == (2, 1)
    assert "--cpus-per-task=8" in (cluster / "srun").read_text().split()
    assert f" {tmp_path / PYTHON} -u -m submitit.core._submit {tmp_path / 'slurm'}" in (cluster / "srun").read_text()
    assert "#SBATCH --requeue" in next(cluster.glob("*.sh")).read_text().splitlines()


def test_a_task_that_was_cancelled_saves_and_is_not_queued_again(tmp_path, cluster):
    submit(tmp_path)
    processes = waits_to_be_stopped(tmp_path, cluster)
    (cluster / "7_0.state").write_text("COMPLETING")
    for who in ("task", "run"):
        os.kill(processes[who], signal.SIGTERM)
    wait_until(lambda: (cluster / "7_0.state").read_text() == "FAILED")
    assert (tmp_path / "finger/patchail/pair/seed_0/saved").exists() and len(diary(tmp_path, "pair")) == 1


def test_started_again_nothing_that_is_queued_or_at_work_is_submitted_twice(tmp_path, cluster, capsys):
    (cluster / "hold").touch()
    submit(tmp_path)
    capsys.readouterr()
    submit(tmp_path, "--seeds=0,1")  # two are queued
    assert capsys.readouterr().err == "2 queued, 2 to do\n" and len(list(cluster.glob("*.sh"))) == 2
    submit(tmp_path, "--seeds=0,1")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("nothing is left to do\n", "4 queued\n")
    for path in cluster.glob("*.state"):
        path.write_text("CANCELLED")
    submit(tmp_path, "--dry_run")
    assert capsys.readouterr().out.count("patchail_jax.main") == 2


def test_a_run_that_is_queued_with_other_flags_is_refused(tmp_path, cluster, capsys):
    (cluster / "hold").touch()
    submit(tmp_path)
    refused = r"finger/patchail/pair/seed_0 is queued with other flags: give the same, or cancel it .scancel 7_0."
    for word in ("--config.agent.discount=0.5", "--gpus=0"):  # without a GPU it would not be asked for one
        with pytest.raises(UserError, match=refused):
            slurm.main([*WORDS, f"--root={tmp_path}", word])
    submit(tmp_path, f"--root={tmp_path}/.", "--hours=3")  # the same folder, and the same runs
    assert capsys.readouterr().err.endswith("2 queued\n") and len(list(cluster.glob("*.sh"))) == 1
    noted = tmp_path / "slurm/submitted.jsonl"
    older = [{**json.loads(line)} for line in noted.read_text().splitlines()]
    noted.write_text("".join(f"{json.dumps({'job': line['job'], 'run': line['run']})}\n" for line in older))
    submit(tmp_path)  # an older version noted no flags
    assert len(list(cluster.glob("*.sh"))) == 1


def test_a_queue_that_does_not_answer_is_no_empty_queue(tmp_path, cluster, capsys):
    (cluster / "hold").touch()
    submit(tmp_path)
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\necho slurm_load_jobs error: Unable to contact >&2; exit 1\n")
    with pytest.raises(UserError, match=r"queued already \(slurm_load_jobs error: Unable to contact\)"):
        submit(tmp_path)
    assert len(list(cluster.glob("*.sh"))) == 1


@pytest.mark.parametrize(
    ("program", "reason"),
    [("exit 1", "it said nothing"), ("echo >&2; exit 1", "it said nothing"), ("kill -9 $$", "it said nothing")],
)
def test_a_queue_that_fails_in_silence_is_one_line(tmp_path, cluster, program, reason):
    (cluster / "hold").touch()
    submit(tmp_path)
    (tmp_path / "bin/squeue").write_text(f"#!/bin/sh\n{program}\n")
    with pytest.raises(UserError, match=rf"queued already \({reason}\): try on a login node"):
        submit(tmp_path)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "echo sbatch: error: Batch job submission failed: Invalid partition >&2; exit 1",
            "runs: .*Invalid partition$",
        ),
        ("exit 1", "does not take the runs: it said nothing"),
        ("echo Welcome to the cluster", "it may have taken the runs all the same; look with squeue before you try"),
    ],
)
def test_a_submission_that_fails_is_one_line(tmp_path, cluster, program, message):
    (tmp_path / "bin/sbatch").write_text(f"#!/bin/sh\n{program}\n")
    with pytest.raises(UserError, match=message) as caught:
        submit(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ['{"job": "7_1", "ru', "[]\n", "\n", '{"job": 1}\n'])
def test_a_damaged_note_is_skipped_and_the_next_one_is_whole(tmp_path, cluster, capsys, damage):
    (cluster / "hold").touch()
    submit(tmp_path)
    with (tmp_path / "slurm/submitted.jsonl").open("a") as stream:
        stream.write(damage)
    capsys.readouterr()
    submit(tmp_path, "--seeds=0,1")
    said = capsys.readouterr().err
    assert "submitted.jsonl is damaged and skipped: its run may be queued" in said and "line 3 " in said
    submit(tmp_path, "--seeds=0,1")
    assert capsys.readouterr().err.endswith("4 queued\n") and len(list(cluster.glob("*.sh"))) == 2


def test_what_a_cluster_asks_for_goes_to_sbatch(tmp_path, cluster):
    (cluster / "hold").touch()
    asked = ["--qos=long", "--constraint=a100|h100", "--gres=gpu:a100:1", "--exclude=node[1-3]", "--account=me"]
    submit(tmp_path, *asked, "--setup=module load cuda", "--setup=export X='a b'", "--cpus=3")
    lines = next(cluster.glob("*.sh")).read_text().splitlines()
    wanted = {"#SBATCH --qos=long", "#SBATCH --constraint='a100|h100'", "#SBATCH --exclude='node[1-3]'"}
    wanted |= {"#SBATCH --gres=gpu:a100:1", "#SBATCH --account=me", "#SBATCH --cpus-per-task=3", "module load cuda"}
    assert wanted | {"export X='a b'"} <= set(lines)
    assert not [line for line in lines if "gpus" in line]
    (srun,) = (line for line in lines if line.startswith("srun"))
    assert "--cpus-per-task=3" in srun and lines.index("module load cuda") < lines.index(srun)


@pytest.mark.parametrize("python", ["/opt/my env/bin/python", "~it's/python", "python3", sys.executable])
def test_the_cluster_s_python_is_the_only_one_in_the_job(tmp_path, cluster, python):
    (cluster / "hold").touch()
    submit(tmp_path, f"--python={python}")
    (srun,) = (line for line in next(cluster.glob("*.sh")).read_text().splitlines() if line.startswith("srun"))
    words = shlex.split(srun)
    at = words.index("-u")
    assert words[at - 1 : at + 3] == [python, "-u", "-m", "submitit.core._submit"]
    assert python == sys.executable or sys.executable not in srun


def test_a_task_s_exit_status_reaches_the_scheduler():
    with pytest.raises(RuntimeError, match=r"status 3: .* -c 'import sys; sys.exit\(3\)'"):
        slurm.Task([sys.executable, "-c", "import sys; sys.exit(3)"])()


def task_of(tmp_path, code):
    """A task whose run counts its starts in a file, and then does what ``code`` says; and the file."""
    count = tmp_path / "count"
    begin = f"import os, signal, sys; tries = open({str(count)!r}, 'a'); tries.write('x'); tries.flush(); "
    return slurm.Task([sys.executable, "-c", begin + code]), count


@pytest.mark.parametrize(
    ("code", "status", "tries"),
    [
        ("sys.exit(1)", 1, 3),
        ("sys.exit(2)", 2, 1),  # refused: it would be again
        ("sys.exit(143)", 143, 1),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15, 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, 1),  # out of memory: it would be again
        ("os.kill(os.getpid(), signal.SIGABRT)", -6, 3),
        ("sys.exit(1 * (tries.tell() < 2))", 0, 2),
    ],
)
def test_a_task_tries_a_run_again_that_crashes(tmp_path, code, status, tries):
    task, count = task_of(tmp_path, code)
    with pytest.raises(RuntimeError, match=f"status {status}: ") if status else contextlib.nullcontext():
        task()
    assert count.read_text() == "x" * tries


def test_a_task_that_was_asked_to_stop_tries_nothing_again(tmp_path):
    code = (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)); os.kill(os.getppid(), signal.SIGTERM); signal.pause()"
    )
    task, count = task_of(tmp_path, code)
    with pytest.raises(RuntimeError, match="status 1: "):
        task()
    assert count.read_text() == "x"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_run_that_is_stopped_before_it_can_save_is_queued_again(tmp_path, monkeypatch, number):
    class Again(Exception):
        pass

    def queue_again(*_):
        raise Again

    monkeypatch.setattr(slurm, "_keeps_its_place", lambda: True)
    before = signal.signal(signal.SIGUSR2, queue_again)  # submitit's
    try:
        task, _ = task_of(tmp_path, f"signal.signal(signal.{number}, 0); os.kill(os.getpid(), signal.{number})")
        with pytest.raises(Again):
            task()
    finally:
        signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize("hours", ["0.02", "0.0833", "0.083334", "0.0999"])
def test_a_time_limit_that_is_all_for_saving_is_refused(tmp_path, hours):
    with pytest.raises(UserError, match=f"--hours={hours[:6]}.* is no more than the 5 minutes .*: give more$"):
        slurm.main([*WORDS, f"--root={tmp_path}", "--dry_run", f"--hours={hours}"])
    assert slurm.main([*WORDS, f"--root={tmp_path}", "--dry_run", "--hours=0.1"]) == 0


@pytest.mark.parametrize(
    "word",
    [
        *(f"--hours={hours}" for hours in ("0.001", "0", "-1", "nan", "inf", "a")),
        *("--jobs=0", "--jobs=-1", "--cpus=0", "--memory_gb=-1", "--memory_gb=nan", "--memory_gb=0", "--gpus=-1"),
        *("--partition=a b", "--account=a #SBATCH", "--qos= ", "--constraint=a b", "--exclude=a b", "--gres=gpu 1"),
    ],
)
def test_values_that_make_no_job_are_refused(tmp_path, word):
    flag, text = word.split("=")
    with pytest.raises(UserError, match=f"argument {flag}: '{text}' is no .*--help lists the flags"):
        slurm.main([*WORDS, f"--root={tmp_path}", "--dry_run", word])


def test_a_dry_run_prints_the_parameters_and_the_commands(capsys):
    words = ["figure7", "--tasks=finger", "--methods=patchail", "--seeds=0", "--python=python", "--partition=gpu"]
    assert slurm.main([*words, "--config.demos.path=it's here", "--dry_run", "--root=/shared/runs"]) == 0
    golden = Path(__file__).parent / "golden/slurm.txt"
    assert capsys.readouterr().out == golden.read_text()


def test_a_machine_without_slurm_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no SLURM here"):
        slurm.main([*WORDS, f"--root={tmp_path}"])


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install '\.\[launch\]'"):
        slurm.main([*WORDS, f"--root={tmp_path}"])
    assert submitit.__version__
