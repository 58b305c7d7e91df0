"""Large arrays are saved and restored slice by slice: the same checkpoints, without the memory of a copy."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts

from patchail_jax.replay import ring as ring_module
from patchail_jax.replay.ring import Ring
from patchail_jax.storage import checkpoint_arrays, checkpoint_contents
from patchail_jax.storage.checkpoint_arrays import ArrayHandler
from patchail_jax.storage.checkpoints import Checkpoints
from patchail_jax.types import Episode, Rows, Specs
from tests.storage.checkpoint import assert_equal, contents_of

SPECS = Specs(image_size=8, frame_stack=2, action_size=2, n_step=2)
STATE = {"w": np.arange(5.0)}


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch):
    monkeypatch.setattr(checkpoint_arrays, "_CHUNK", 3 * 8 * 8 * 3)  # three frames
    for module, names in ((checkpoint_arrays, ("_LEAST", "_MOST")), (checkpoint_contents, ("_SLICE",))):
        for name in names:
            monkeypatch.setattr(module, name, 2_000)  # ten frames; four slices wait at a time when they are written
    monkeypatch.setattr(ring_module, "_SLICE", 1_500)


def make_ring(*, fill=True, seed=0):
    """50 slots, filled one and a half times."""
    ring, rng = Ring(capacity=50, specs=SPECS), np.random.default_rng(seed)
    for length in (11, 19, 6, 14, 8, 12) if fill else ():
        frames = rng.integers(0, 256, (length + 1, 8, 8, 3), dtype=np.uint8)
        ring.add(Episode(frames, rng.normal(size=(length, 2)).astype(np.float32), *rng.random((2, length), np.float32)))
    return ring


def save(folder, step, ring):
    host = {"replay": ring.state(), "other": np.arange(3)}
    assert Checkpoints(folder, keep=3).save(step, state=STATE, host=host)


def assert_same(ring, other):
    assert len(ring) == len(other) > 0
    assert_equal({**ring.state()}, {**other.state()})
    np.testing.assert_array_equal(ring.used_slots(), other.used_slots())


def written_whole(handler, directory, args):
    """As versions before slices wrote."""
    for name, array in args.item.items():
        store = ts.open(
            {"driver": "zarr", "kvstore": {"driver": "ocdbt", "base": f"file://{directory}/", "path": f"{name}/"}},
            create=True,
            dtype=array.dtype,
            shape=array.shape,
            chunk_layout=ts.ChunkLayout(chunk_elements=checkpoint_arrays._CHUNK),
        ).result()
        store.write(np.asarray(array)).result()


def test_a_ring_that_wrapped_around_comes_back_slot_for_slot(tmp_path):
    ring, restored = make_ring(), make_ring(fill=False)
    slots = ring.used_slots()
    assert slots[0] > slots[-1]
    save(tmp_path, 1, ring)
    state, host, step = Checkpoints(tmp_path, keep=3).restore(STATE, replay=restored)
    assert step == 1 and host.keys() == {"other"}
    assert_equal(state, STATE)
    assert_same(restored, ring)


def test_a_long_episode_that_was_open_comes_back_as_the_array_it_was(tmp_path):
    frames = np.random.default_rng(1).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    host = {"replay": make_ring().state(), "actors": {"open": {"0": {"frames": frames}}}}
    assert frames.nbytes > checkpoint_arrays._LEAST
    assert Checkpoints(tmp_path, keep=3).save(1, state=STATE, host=host)
    _, restored, _ = Checkpoints(tmp_path, keep=3).restore(STATE, replay=make_ring(fill=False))
    found = restored["actors"]["open"]["0"]["frames"]
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, frames)


def test_an_empty_ring_comes_back_empty(tmp_path):
    restored = make_ring()
    save(tmp_path, 1, make_ring(fill=False))
    Checkpoints(tmp_path, keep=3).restore(STATE, replay=restored)
    assert len(restored) == restored.transitions == 0


def test_without_a_checkpoint_the_ring_stays_as_it_is(tmp_path):
    ring = make_ring()
    assert Checkpoints(tmp_path, keep=3).restore(STATE, replay=ring) is None
    assert_same(ring, make_ring())


def test_checkpoints_of_versions_that_wrote_whole_arrays_are_read(tmp_path, monkeypatch):
    ring, restored = make_ring(), make_ring(fill=False)
    with monkeypatch.context() as patched:
        patched.setattr(ArrayHandler, "save", written_whole)
        save(tmp_path, 1, ring)
    Checkpoints(tmp_path, keep=3).restore(STATE, replay=restored)
    assert_same(restored, ring)


def test_versions_that_read_whole_arrays_read_these_checkpoints(tmp_path):
    ring = make_ring()
    save(tmp_path, 1, ring)
    stored = Checkpoints(tmp_path, keep=3)._manager.restore(1)
    for name in ("frames", "actions", "rewards", "discounts", "episodes"):
        array = stored["arrays"][f"replay.{name}"]
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, ring.state()[name])
        assert zlib.crc32(array.tobytes()) == stored["plain"]["checksums"]["arrays"][f"replay.{name}"]


def flip(folder, ring):
    """One bit of a frame, wherever it lies: noise is stored as it is, and most files hold what is read no more, too."""
    noise, flipped = ring.frames[ring.used_slots()[20]].tobytes()[:12], 0
    for path in (path for path in (folder / "arrays").rglob("*") if path.is_file()):
        data = bytearray(path.read_bytes())
        if (where := data.find(noise)) >= 0:
            data[where] ^= 1
            path.write_bytes(data)
            flipped += 1
    assert flipped


def test_a_flipped_bit_in_a_slice_is_found_after_the_ring_took_it_and_the_one_before_is_used(tmp_path, caplog):
    folder, ring, restored = tmp_path / "checkpoints", make_ring(), make_ring(fill=False)
    save(folder, 1, ring)
    save(folder, 2, second := make_ring(seed=1))
    flip(folder / "2", second)
    loads, load_state = [], restored.load_state
    restored.load_state = lambda state: (loads.append(isinstance(state["frames"], Rows)), load_state(state))
    assert Checkpoints(folder, keep=3).restore(STATE, replay=restored)[2] == 1
    assert loads == [True] * 3  # twice the damaged one, to be sure
    assert "checkpoint 2 is damaged (its contents changed" in caplog.text
    assert (tmp_path / "damaged_checkpoint_2").is_dir()
    assert_same(restored, ring)


def test_a_slice_that_cannot_be_decoded_leaves_no_half_of_a_ring(tmp_path, monkeypatch):
    ring, restored, state = make_ring(), make_ring(), make_ring(seed=1).state()

    def read(start, stop):
        if start > 10:
            raise ValueError("DATA_LOSS: Error decoding")
        return state["frames"].read(start, stop)

    broken = Rows(state["frames"].shape, np.uint8, read)
    with pytest.raises(ValueError, match="DATA_LOSS"):
        restored.load_state({**state, "frames": broken})
    assert len(restored) == restored.episodes == 0
    restored.load_state(ring.state())
    assert_same(restored, ring)


def test_a_ring_is_loaded_again_where_another_process_has_only_an_older_checkpoint(tmp_path):
    ring, restored, said = make_ring(), make_ring(fill=False), iter((1, 1, 1, 1))
    save(tmp_path, 1, ring)
    save(tmp_path, 2, make_ring(seed=1))
    found = Checkpoints(tmp_path, keep=3).restore(
        STATE, replay=restored, gather=lambda own: np.stack([own, np.asarray(next(said))])
    )
    assert found[2] == 1
    assert_same(restored, ring)


def test_a_step_that_is_there_is_compared_slice_by_slice(tmp_path):
    save(tmp_path, 1, make_ring())
    before = contents_of(tmp_path)
    save(tmp_path, 1, make_ring())
    assert contents_of(tmp_path) == before


def test_a_save_and_a_resume_take_little_more_memory_than_the_replay(tmp_path):
    size, root, measured = 2**29, Path(__file__).parents[2], {}
    # The device's copy is written a chunk at a time, and some chunks wait beside it.
    for what, copies, most in (("save", 1, 0.1), ("resume", 1, 0.1), ("resume-on-device", 2, 0.25)):
        command = [
            sys.executable,
            "-m",
            "tests.storage.measured_replay",
            what,
            str(tmp_path / "checkpoints"),
            str(size),
        ]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=root)
        assert result.returncode == 0, result.stderr
        measured[what] = json.loads(result.stdout)
        assert -0.05 * copies < measured[what]["peak"] - copies < most, measured
    assert measured["save"]["held"] == measured["resume"]["held"] == measured["resume-on-device"]["held"]
