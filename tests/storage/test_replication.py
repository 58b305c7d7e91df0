"""The thread beside the training, the lease, and what is said where storage cannot be used."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from etils import epath

from patchail_jax.errors import Unavailable, UserError
from patchail_jax.files.processes import counted_in
from patchail_jax.storage import lease, replication
from patchail_jax.storage.lease import Lease, LeaseLost, is_held
from patchail_jax.storage.remote import reachable, reading_copy
from patchail_jax.storage.replication import replicated
from tests.storage.bucket import make_bucket

RUN = "gs://bucket/runs/x"
OBJECT = "/bucket/runs/x/metrics.jsonl"


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
    with pytest.raises(Unavailable, match="lacks the newest files"), replicated(RUN) as (folder, push):
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
