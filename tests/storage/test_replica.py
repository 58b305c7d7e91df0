"""A run's replica and its local folder: what travels, what counts, and that no push can be cut at a wrong moment."""

import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from etils import epath

from patchail_jax.errors import UserError
from patchail_jax.storage import remote, remote_files
from patchail_jax.storage.remote import finished_frames, reading_copy, runs_in
from patchail_jax.storage.remote_files import read_manifest, same
from patchail_jax.storage.replica import Replica
from tests.storage.bucket import make_bucket

RUN = "gs://bucket/runs/x"
END = 90


@pytest.fixture
def bucket(monkeypatch, tmp_path):
    return make_bucket(monkeypatch, tmp_path / "cache")


def write(folder, logged, *steps, finished=False):
    """A run folder whose log is ``logged``; a checkpoint holds the log up to its own step."""
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "lock").touch()
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in logged))
    (folder / "videos" / f"{logged[-1]}.mp4").write_bytes(b"film")
    checkpoints = folder / "checkpoints"
    for step in set(range(10)) - set(steps):
        shutil.rmtree(checkpoints / str(step), ignore_errors=True)
    for step in steps:
        before = "".join(f"{line}\n" for line in logged if int(line[1:]) <= step)
        path = checkpoints / str(step)
        if path.exists() and (path / "state" / "0").read_text() == before:
            continue
        shutil.rmtree(path, ignore_errors=True)
        for part in ("state/0", "arrays/0"):
            (path / part).parent.mkdir(parents=True)
            (path / part).write_text(before)
    if finished:
        (folder / "finished.json").write_text(json.dumps({"num_frames": END}))


def contents(folder):
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in ("lock", "mirrored_run")}


def pushed(folder, *states):
    """A replica that has pushed each of the states, and let go."""
    replica = Replica(epath.Path(RUN), folder)
    for logged, steps in states:
        write(folder, logged, *steps)
        replica.push()
    return replica


def spoil(bucket, *names):
    for name in names:
        bucket.store[f"/bucket/runs/x/checkpoints/{name}"].getbuffer()[:1] = b"z"


def test_what_is_pushed_is_fetched_on_an_empty_machine(bucket, tmp_path):
    replica = pushed(tmp_path / "one", (["a1"], [1]))
    (tmp_path / "one" / "process_1").mkdir()
    (tmp_path / "one" / "process_1" / "config.json").write_text("another process's")
    (tmp_path / "one" / "metrics.unfinished").write_text("half")
    replica.push()
    replica.lease.release()
    Replica(epath.Path(RUN), tmp_path / "other")
    expected = contents(tmp_path / "one")
    del expected["process_1/config.json"], expected["metrics.unfinished"]
    assert contents(tmp_path / "other") == expected and "checkpoints/1/arrays/0" in expected


def test_only_what_changed_travels(bucket, tmp_path):
    replica = pushed(tmp_path / "run", (["a1"], [1]))
    bucket.calls.clear()
    replica.push()
    assert not bucket.calls
    write(tmp_path / "run", ["a1", "a2"], 1)
    replica.push()
    names = sorted(path.removeprefix("/bucket/runs/x/") for kind, path in bucket.calls)
    assert names == ["metrics.jsonl", "mirror.json", "videos/a2.mp4"]
    replica.lease.release()
    bucket.calls.clear()
    shutil.rmtree(tmp_path / "run" / "videos")
    Replica(epath.Path(RUN), tmp_path / "run")
    read = {path.removeprefix("/bucket/runs/x/") for kind, path in bucket.calls if kind == "read"}
    assert read == {"lease.json", "mirror.json", "videos/a1.mp4", "videos/a2.mp4"}


def test_checkpoints_go_when_they_are_gone_here_and_a_newer_one_is_there(bucket, tmp_path):
    folder = tmp_path / "run"
    replica = pushed(folder, (["a1"], [1]), (["a1", "a2"], [1, 2]), (["a1", "a2", "a3"], [2, 3]))
    there = {path.split("/")[5] for path in bucket.store if "/checkpoints/" in path}
    assert there == {"2", "3"}
    shutil.rmtree(folder / "checkpoints" / "2")
    (folder / "checkpoints" / "3").rename(folder / "checkpoints" / "4")
    bucket.left = 4  # the lease is not due: the new checkpoint's two files, two logs and no more
    with pytest.raises(OSError, match="unreachable"):
        replica.push()
    bucket.left = None
    assert {"2", "3"} <= {path.split("/")[5] for path in bucket.store if "/checkpoints/" in path}


ONE, TWO = (["a1"], [1]), (["a1", "a2"], [1, 2])
PUSHES = {  # what was pushed before, and what is pushed now: logs and checkpoints
    "the first": ([], ONE),
    "a newer one": ([ONE], TWO),
    "a newer one for an older": ([ONE, TWO], (["a1", "a2", "a3"], [2, 3])),
    "logs alone": ([ONE], (["a1", "a2", "a3"], [1])),
    "two at once": ([ONE], (["a1", "a2", "a3"], [2, 3])),
    "back to the older": ([ONE, TWO], (["a1", "b2"], [1])),
    "back, and on from there": ([ONE, TWO], (["a1", "b2", "b3"], [1, 2])),
    "back to the beginning": ([ONE, TWO], (["b0"], [])),
}


@pytest.mark.parametrize("name", PUSHES)
def test_a_push_that_is_cut_anywhere_leaves_a_run_that_can_go_on(bucket, tmp_path, name):
    before, (logged, steps) = PUSHES[name]
    for calls in range(100):
        bucket.store.clear()
        replica = pushed(tmp_path / f"{calls}", *before)
        write(tmp_path / f"{calls}", logged, *steps, finished=True)
        bucket.left = calls
        try:
            replica.push()
            cut = False
        except OSError:
            cut = True
        bucket.left = None
        there = dict(bucket.store)
        replica.push()  # as the same run would, once the network is back
        manifest = read_manifest(epath.Path(RUN))
        assert {name: (tmp_path / f"{calls}" / name).read_bytes() for name in manifest.files} == {
            name: bucket.store[f"/bucket/runs/x/{name}"].getvalue() for name in manifest.files
        }
        assert all(same(tmp_path / f"{calls}" / name, known) for name, known in manifest.files.items())
        bucket.store.clear()
        bucket.store.update(there)
        replica.lease.release()
        fetched = tmp_path / f"{calls}_fetched"
        Replica(epath.Path(RUN), fetched)
        log = (fetched / "metrics.jsonl").read_text() if (fetched / "metrics.jsonl").exists() else ""
        found = sorted(int(path.name) for path in fetched.glob("checkpoints/*"))
        assert found or not (before and steps)
        for step in found:
            state, arrays = (
                (fetched / "checkpoints" / f"{step}" / part / "0").read_text() for part in ("state", "arrays")
            )
            assert state == arrays and log.startswith(state)
        if (fetched / "finished.json").exists():
            assert finished_frames(RUN) == END and found[-1:] == steps[-1:]
        if not cut:
            break
        replica = Replica(epath.Path(RUN), tmp_path / f"{calls}")  # or here, where the copy still is
        replica.lease.release()
    assert not cut and calls >= 3
    whole = contents(tmp_path / f"{calls}")
    assert contents(fetched) == {name: content for name, content in whole.items() if keeps(name, found)}
    assert found == (steps[-1:] if name == "two at once" else steps)
    assert {path.split("/")[5] for path in bucket.store if "/checkpoints/" in path} == {f"{step}" for step in found}


def keeps(name, steps):
    return not name.startswith("checkpoints/") or int(name.split("/")[1]) in steps


def test_a_checkpoint_that_is_not_what_was_sent_is_passed_over(bucket, tmp_path, caplog):
    pushed(tmp_path / "one", (["a1"], [1]), (["a1", "a2"], [1, 2])).lease.release()
    spoil(bucket, "2/arrays/0")
    replica = Replica(epath.Path(RUN), tmp_path / "other")
    assert [path.name for path in (tmp_path / "other" / "checkpoints").iterdir()] == ["1"]
    assert "checkpoint 2" in caplog.text and "is incomplete" in caplog.text
    write(tmp_path / "other", ["a1", "a2"], 1, 2)
    replica.push()
    replica.lease.release()
    Replica(epath.Path(RUN), tmp_path / "third")
    assert contents(tmp_path / "third") == contents(tmp_path / "other")


def test_a_replica_without_a_whole_checkpoint_is_not_begun_anew(bucket, tmp_path):
    pushed(tmp_path / "one", (["a1"], [1]), (["a1", "a2"], [1, 2])).lease.release()
    spoil(bucket, "1/state/0", "2/state/0")
    before = {name: file.getvalue() for name, file in bucket.store.items()}
    for _ in range(2):  # nor at the second try
        with pytest.raises(UserError, match=f"no checkpoint in {RUN} is complete; nothing was changed"):
            Replica(epath.Path(RUN), tmp_path / "other")
    assert {name: file.getvalue() for name, file in bucket.store.items()} == before  # and the lease is let go


def test_an_older_local_checkpoint_stays_where_the_replica_has_none_that_is_whole(bucket, tmp_path, caplog):
    pushed(tmp_path / "one", (["a1"], [1])).lease.release()
    pushed(tmp_path / "other", (["a1", "a2", "a3"], [2, 3])).lease.release()
    spoil(bucket, "3/state/0")
    Replica(epath.Path(RUN), tmp_path / "one")
    assert [path.name for path in (tmp_path / "one" / "checkpoints").iterdir()] == ["1"]
    assert "checkpoint 3" in caplog.text and "is incomplete" in caplog.text


def test_a_newer_local_checkpoint_of_the_same_run_wins(bucket, tmp_path, caplog):
    replica = pushed(tmp_path / "one", (["a1"], [1]))
    write(tmp_path / "one", ["a1", "a2"], 1, 2)  # and a crash before the push
    replica.lease.release()
    replica = Replica(epath.Path(RUN), tmp_path / "one")
    assert "resuming from checkpoint 2" in caplog.text
    replica.push()
    replica.lease.release()
    Replica(epath.Path(RUN), tmp_path / "other")
    assert contents(tmp_path / "other") == contents(tmp_path / "one")


def test_a_newer_remote_checkpoint_wins(bucket, tmp_path):
    pushed(tmp_path / "one", (["a1"], [1])).lease.release()
    replica = Replica(epath.Path(RUN), tmp_path / "other")
    write(tmp_path / "other", ["a1", "a2", "a3"], 2, 3)
    replica.push()
    replica.lease.release()
    write(tmp_path / "one", ["a1", "c2"], 1, 2)  # it had come further than it could tell
    Replica(epath.Path(RUN), tmp_path / "one")
    assert (tmp_path / "one" / "metrics.jsonl").read_text() == "a1\na2\na3\n"
    assert [path.name for path in (tmp_path / "one" / "checkpoints").iterdir()] == ["3"]


def test_a_local_copy_of_another_run_is_moved_aside(bucket, tmp_path):
    pushed(tmp_path / "one", (["a1"], [1]))
    bucket.store.clear()  # somebody wanted to begin anew
    Replica(epath.Path(RUN), tmp_path / "one")
    assert not contents(tmp_path / "one")
    assert (tmp_path / "one.replaced" / "checkpoints" / "1" / "state" / "0").exists()


def test_one_reader_at_a_time_brings_the_copy_up_to_date(bucket, tmp_path, monkeypatch):
    pushed(tmp_path / "one", (["a1"], [1]))
    inside, real = [], remote_files.download

    def download(*given, **named):
        inside.append("in")
        time.sleep(0.2)
        found = real(*given, **named)
        inside.append("out")
        return found

    monkeypatch.setattr(remote, "download", download)
    with ThreadPoolExecutor(4) as readers:
        folders = list(readers.map(reading_copy, [RUN] * 4))
    assert inside == ["in", "out"] * 4
    assert all((folder / "checkpoints" / "1" / "state" / "0").exists() for folder in folders)


@pytest.mark.parametrize(
    "written", [b"{", b"[]", b"{}", b'{"run": "x", "files": {"a": 3}}', b'{"run": "x", "files": 3}']
)
def test_a_damaged_list_of_files_is_called_damaged(bucket, tmp_path, written):
    pushed(tmp_path / "one", (["a1"], [1]))
    (epath.Path(RUN) / "mirror.json").write_bytes(written)
    for read in (reading_copy, finished_frames):
        with pytest.raises(UserError, match=r"mirror.json is damaged: put a copy back") as error:
            read(RUN)
        assert "\n" not in str(error.value)


def test_a_damaged_mark_of_the_end_is_none(bucket, tmp_path):
    replica = pushed(tmp_path / "one", (["a1"], [1]))
    write(tmp_path / "one", ["a1", "a2"], 1, finished=True)
    replica.push()
    assert finished_frames(RUN) == END
    (epath.Path(RUN) / "finished.json").write_bytes(b"{")
    assert finished_frames(RUN) == 0


def test_readers_get_all_but_replay(bucket, tmp_path):
    pushed(tmp_path / "one", (["a1"], [1]))
    assert runs_in("gs://bucket") == runs_in(RUN) == [RUN]
    folder = reading_copy(RUN)
    assert folder == tmp_path / "cache" / "read" / "gs" / "bucket" / "runs" / "x"
    assert (folder / "checkpoints" / "1" / "state" / "0").exists() and (folder / "metrics.jsonl").exists()
    assert not (folder / "checkpoints" / "1" / "arrays").exists()
    shutil.rmtree(folder)
    assert not (reading_copy(RUN, checkpoints=False) / "checkpoints").exists()
    assert finished_frames(RUN) == finished_frames("gs://bucket/nothing") == 0
    assert str(reading_copy("/a/local/run")) == "/a/local/run"
