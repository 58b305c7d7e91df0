"""The thread beside the training, the lease, and what is said where storage cannot be used."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import pytest
from etils import epath
from fsspec.implementations.memory import MemoryFile

from patchail_jax.errors import Unavailable, UserError
from patchail_jax.files.processes import counted_in
from patchail_jax.storage import lease, replication
from patchail_jax.storage.lease import Lease, LeaseLost, is_held
from patchail_jax.storage.remote import finished_frames, reachable, reading_copy
from patchail_jax.storage.remote_files import read_manifest
from patchail_jax.storage.replication import replicated
from patchail_jax.storage.run_folder import open_run
from tests.storage.bucket import make_bucket

RUN = "gs://bucket/runs/x"
OBJECT = "/bucket/runs/x/metrics.jsonl"
LIST = "/bucket/runs/x/mirror.json"


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    monkeypatch.setattr(replication, "BEAT_SECONDS", 0.02)
    return make_bucket(monkeypatch, tmp_path / "cache")


def wait(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def stored(bucket):
    return bucket.store[OBJECT].getvalue() if OBJECT in bucket.store else b""


def test_a_local_folder_stays_what_it_is(tmp_path):
    with replicated(str(tmp_path)) as (folder, push):
        push()
        assert folder == tmp_path and not list(tmp_path.iterdir())


def test_pushes_go_on_beside_and_the_last_one_is_waited_for(bucket, tmp_path):
    with replicated(RUN) as (folder, push):
        assert folder == tmp_path / "cache" / "runs" / "gs" / "bucket" / "runs" / "x"
        assert is_held(epath.Path(RUN))
        (folder / "metrics.jsonl").write_text("1\n")
        push()
        wait(lambda: stored(bucket) == b"1\n")
        (folder / "metrics.jsonl").write_text("1\n2\n")
    assert stored(bucket) == b"1\n2\n" and not is_held(epath.Path(RUN))


def test_a_call_that_comes_as_the_thread_stops_waiting_for_one_is_not_lost(bucket, monkeypatch):
    original, armed = threading.Event.wait, []

    def late(event, timeout=None):
        answer = original(event, timeout)
        if armed and timeout is not None and not answer:
            armed.clear()
            event.set()
        return answer

    monkeypatch.setattr(threading.Event, "wait", late)
    with replicated(RUN) as (folder, _):
        (folder / "metrics.jsonl").write_text("1\n")
        armed.append(True)
        wait(lambda: stored(bucket) == b"1\n")


def test_an_error_in_training_comes_through_and_what_it_wrote_is_there(bucket):
    with pytest.raises(RuntimeError, match="in training"), replicated(RUN) as (folder, _):
        (folder / "metrics.jsonl").write_text("1\n")
        raise RuntimeError("in training")
    assert stored(bucket) == b"1\n"


def test_a_network_that_is_gone_is_one_warning_and_caught_up_with(bucket, caplog):
    caplog.set_level("INFO")
    with replicated(RUN) as (folder, push):
        bucket.left = 0
        for number in range(5):
            (folder / "metrics.jsonl").write_text(f"{number}\n")
            push()
            time.sleep(0.05)
        assert caplog.text.count("cannot be reached (network is unreachable)") == 1
        bucket.left = None
        wait(lambda: stored(bucket) == b"4\n")
    assert "can be reached again" in caplog.text and "lacks" not in caplog.text


def test_a_run_that_ends_without_a_network_may_be_tried_again_and_says_where_it_is(bucket):
    with pytest.raises(Unavailable) as error, replicated(RUN) as (folder, _):
        (folder / "metrics.jsonl").write_text("1\n")
        (folder / "checkpoints" / "1").mkdir(parents=True)
        bucket.left = 0
    assert f"{RUN} lacks the newest files of this run; they are in {folder}. Once it can" in str(error.value)
    bucket.left = None
    with replicated(RUN) as (again, _):
        assert again == folder and (again / "metrics.jsonl").read_text() == "1\n"
    assert stored(bucket) == b"1\n"


def test_the_end_that_a_bucket_lacks_is_copied_there_by_the_same_command(bucket):
    with pytest.raises(Unavailable), replicated(RUN) as (folder, push):
        (folder / "checkpoints" / "1" / "state").mkdir(parents=True)
        (folder / "checkpoints" / "1" / "state" / "0").write_text("state")
        (folder / "eval.csv").write_text("0\n")
        (folder / "config.json").write_text("{}")
        push()  # the last checkpoint
        wait(lambda: (found := read_manifest(epath.Path(RUN))) is not None and found.steps == {1})
        bucket.left = 0
        (folder / "eval.csv").write_text("0\n1\n")
        (folder / "finished.json").write_text('{"num_frames": 90}')
    bucket.left = None
    (folder / "config.json").unlink()  # what is gone here, and only that, is fetched
    (folder / "checkpoints" / "1" / "state" / "0").write_text("spoilt")
    with replicated(RUN) as (again, _):
        assert (again / "eval.csv").read_text() == "0\n1\n" and (again / "config.json").exists()
        assert (again / "checkpoints" / "1" / "state" / "0").read_text() == "state"
    assert bucket.store["/bucket/runs/x/eval.csv"].getvalue() == b"0\n1\n" and finished_frames(RUN) == 90
    (again / "eval.csv").write_text("0\n")  # of one that both have ended the bucket's counts
    with replicated(RUN) as (again, _):
        assert (again / "eval.csv").read_text() == "0\n1\n"


def test_a_folder_in_which_a_run_goes_on_is_left_alone(bucket):
    """It goes on there when it has lost its lease."""
    with replicated(RUN) as (folder, _):
        (folder / "metrics.jsonl").write_text("1\n")
    (folder / "metrics.jsonl").write_text("1\n2\n")
    running = open_run(folder, config={})
    with pytest.raises(UserError, match="another process is running in .*; wait for it") as error, replicated(RUN):
        pass
    assert (folder / "metrics.jsonl").read_text() == "1\n2\n" and "\n" not in str(error.value)
    assert not is_held(epath.Path(RUN))
    bucket.store.clear()  # nor is it moved aside
    with pytest.raises(UserError, match="another process is running"), replicated(RUN):
        pass
    assert (folder / "metrics.jsonl").read_text() == "1\n2\n"
    running.close()


@pytest.mark.parametrize("ended_by", [KeyboardInterrupt(15), RuntimeError("in training")])
def test_a_run_that_is_stopped_or_fails_without_a_network_keeps_its_status_and_says_where_it_is(
    bucket, caplog, ended_by
):
    with pytest.raises(type(ended_by)), replicated(RUN) as (folder, _):
        (folder / "metrics.jsonl").write_text("1\n")
        bucket.left = 0
        raise ended_by
    assert f"lacks the newest files of this run; they are in {folder}" in caplog.text


def hold(bucket, **fields):
    content = {"owner": "other", "host": "other-machine", "pid": 7, "time": time.time(), **fields}
    (epath.Path(RUN) / lease.LEASE).write_text(json.dumps(content))


def test_a_second_run_on_the_folder_is_refused_in_one_line(bucket):
    hold(bucket)
    with pytest.raises(UserError, match=r"process 7 on other-machine is running in gs://bucket/runs/x; wait") as error:
        Lease(epath.Path(RUN), sleep=lambda seconds: hold(bucket))
    assert "\n" not in str(error.value)


def test_a_holder_that_no_longer_renews_is_followed(bucket):
    hold(bucket)
    slept = []
    Lease(epath.Path(RUN), sleep=slept.append)
    assert sum(slept) == lease.WATCH_SECONDS


def test_a_lease_that_is_old_or_whose_process_is_dead_needs_no_watching(bucket):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = {"host": socket.gethostname(), "counted_in": counted_in()}
    for fields in ({"time": time.time() - 1000}, {**here, "pid": dead.pid}, {**here, "pid": os.getpid()}):
        hold(bucket, **fields)
        Lease(epath.Path(RUN), sleep=pytest.fail).release()
    hold(bucket, **here, pid=os.getppid())
    with pytest.raises(UserError, match="is running"):
        Lease(epath.Path(RUN), sleep=lambda seconds: hold(bucket))


@pytest.mark.parametrize("place", [{"counted_in": 1}, {}])
def test_a_process_of_another_container_of_this_host_is_watched_whatever_its_number(bucket, place):
    hold(bucket, host=socket.gethostname(), pid=os.getpid(), **place)
    with pytest.raises(UserError, match="is running"):
        Lease(epath.Path(RUN), sleep=lambda seconds: hold(bucket))


def test_who_lost_the_lease_writes_no_more(bucket, monkeypatch, caplog):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.0)
    with pytest.raises(UserError, match="Another process has taken it over"), replicated(RUN) as (folder, push):
        hold(bucket)
        (folder / "metrics.jsonl").write_text("1\n")
        wait(lambda: "now written by process 7 on other-machine" in caplog.text)
        push()
    assert OBJECT not in bucket.store and is_held(epath.Path(RUN))


def test_a_lease_of_one_s_own_is_noticed_to_be_lost(bucket, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.0)
    own = Lease(epath.Path(RUN))
    own.renew()
    hold(bucket)
    with pytest.raises(LeaseLost, match="process 7"):
        own.renew()
    own.release()
    assert is_held(epath.Path(RUN))


def test_who_was_cut_off_leaves_what_another_has_written_and_ended(bucket, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.0)
    with pytest.raises(UserError, match="Another process has taken it over"), replicated(RUN) as (folder, push):
        (folder / "metrics.jsonl").write_text("1\n")
        push()
        wait(lambda: stored(bucket) == b"1\n")
        bucket.left = 0
        wait(lambda: "cannot be reached" in caplog.text)
        run = json.loads(bucket.store[LIST].getvalue())["run"]
        del bucket.store["/bucket/runs/x/lease.json"]  # as another leaves it that took over
        left = json.dumps({"run": run, "files": {"metrics.jsonl": [4, 7]}})
        bucket.store |= {OBJECT: MemoryFile(bucket, OBJECT, b"1\n2\n"), LIST: MemoryFile(bucket, LIST, left.encode())}
        bucket.left = None
        wait(lambda: "was written by another process, which has ended: copying has stopped" in caplog.text)
        (folder / "metrics.jsonl").write_text("1\n3\n")
        push()
    assert stored(bucket) == b"1\n2\n" and not is_held(epath.Path(RUN))
    assert (folder / "metrics.jsonl").read_text() == "1\n3\n"


@pytest.mark.parametrize("removed", ["lease.json", ""])
def test_a_bucket_s_folder_that_somebody_removes_is_made_anew(bucket, tmp_path, monkeypatch, caplog, removed):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.0)
    with replicated(RUN) as (folder, push):
        (folder / "checkpoints" / "1" / "state").mkdir(parents=True)
        (folder / "checkpoints" / "1" / "state" / "0").write_text("state")
        (folder / "metrics.jsonl").write_text("1\n")
        push()
        wait(lambda: (found := read_manifest(epath.Path(RUN))) is not None and found.steps == {1})
        if removed:
            del bucket.store[f"/bucket/runs/x/{removed}"]
        else:
            bucket.store.clear()
        wait(lambda: is_held(epath.Path(RUN)) and stored(bucket) == b"1\n")
    assert ("was removed while the run went on" in caplog.text) == (not removed)
    assert "copying has stopped" not in caplog.text and not is_held(epath.Path(RUN))
    shutil.rmtree(folder)
    with replicated(RUN) as (again, _):
        assert (again / "checkpoints" / "1" / "state" / "0").read_text() == "state"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://host/x", "ftp://host/x cannot be opened: use gs://"),
        ("gs://missing/x", "no such bucket"),
        ("gs://bucket/../x", "does not name a folder"),
        ("gs://", "does not name a folder"),
    ],
)
def test_storage_that_cannot_be_used_is_one_line(bucket, location, message):
    with pytest.raises(UserError, match=message) as error, replicated(location):
        pass
    assert "\n" not in str(error.value)


class HttpError(Exception):
    def __init__(self, code):
        super().__init__(f"status {code}")
        self.code = code


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (TimeoutError("timed out"), True),
        (ConnectionResetError("reset by peer"), True),
        (HttpError(503), True),
        (HttpError(429), True),
        (HttpError(403), False),
        (HttpError(404), False),
        (PermissionError("no rights"), False),
        (ValueError("no such scheme"), False),
    ],
)
def test_storage_that_may_come_back_is_tried_again(error, passes):
    with pytest.raises(UserError) as said, reachable(RUN):
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("the library's own") from cause
    assert isinstance(said.value, Unavailable) == passes
    assert str(said.value).endswith("try again") == passes and "\n" not in str(said.value)


def test_a_library_that_is_missing_is_named(bucket, monkeypatch):
    def without(*arguments, **options):
        raise ImportError("Please install gcsfs\nto access Google Storage")

    monkeypatch.setattr(bucket, "_open", without)
    with pytest.raises(UserError, match=r"pip install '\.\[gcs\]'"), replicated(RUN):
        pass


def test_names_that_lead_out_of_the_run_folder_are_refused(bucket):
    for name in ("../../outside", "/etc/x", "checkpoints/1/../../../x"):
        (epath.Path(RUN) / "mirror.json").write_text(json.dumps({"run": "a", "files": {name: [1, 1]}}))
        with pytest.raises(UserError, match="outside of the run folder"), replicated(RUN):
            pass
        with pytest.raises(UserError, match="outside of the run folder"):
            reading_copy(RUN)


def test_where_there_is_no_run_readers_say_so(bucket):
    with pytest.raises(UserError, match="no run in gs://bucket/none"):
        reading_copy("gs://bucket/none")
