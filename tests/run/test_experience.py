"""A run's experience, restored: the ring, and its frames on the devices."""

import jax
import numpy as np

from patchail_jax.devices.frames_on_devices import FramesOnDevices
from patchail_jax.devices.mapping import Pmap
from patchail_jax.replay.ring import Ring
from patchail_jax.replay.stream import NoExperts, Stream
from patchail_jax.run import experience as experience_module
from patchail_jax.run.experience import Experience
from patchail_jax.run.stopwatch import Stopwatch
from patchail_jax.types import Episode
from tests.small import SPECS


def make():
    ring, devices = Ring(capacity=90, specs=SPECS), jax.local_devices()[:2]
    stream = Stream(
        ring, NoExperts(SPECS.frame_shape), batch_size=8, expert_batch_size=0, frame_stack=SPECS.frame_stack,
        devices=2, updates_per_call=1, root=(1,),
    )  # fmt: skip
    frames = FramesOnDevices(90, SPECS.frame_shape, SPECS.frame_dtype, devices=devices)
    options = {"spread": Pmap(devices).spread, "updates_per_call": 1, "agree": bool, "stopwatch": Stopwatch()}
    return ring, frames, Experience(ring, stream, stream, frames, **options)


def test_frames_reach_the_devices_slice_by_slice_when_a_run_resumes(monkeypatch):
    monkeypatch.setattr(experience_module, "_SLICE", 20 * int(np.prod(SPECS.frame_shape)))
    (ring, frames, one), (other_ring, other_frames, other) = make(), make()
    rng = np.random.default_rng(0)
    for length in (29, 39, 34):
        pixels = rng.integers(0, 256, (length + 1, *SPECS.frame_shape), dtype=np.uint8)
        ones = np.ones(length, np.float32)
        one.add(Episode(pixels, np.zeros((length, SPECS.action_size), np.float32), ones, ones))
    slots = ring.used_slots()
    assert slots[0] > slots[-1]  # it wrapped around
    other.load_state(one.state())
    for s in slots:
        np.testing.assert_array_equal(np.asarray(other_frames.shards)[s % 2, s // 2], ring.frames[s])
        np.testing.assert_array_equal(np.asarray(frames.shards)[s % 2, s // 2], ring.frames[s])
    np.testing.assert_array_equal(other_ring.frames[slots], ring.frames[slots])
    one.close()
    other.close()
