"""Frames on the devices: the same batches as from the host, on any number of devices."""

import jax
import numpy as np
import pytest

from patchail_jax.demos.expert_set import ExpertSet
from patchail_jax.devices.data_parallel import Devices, fetch
from patchail_jax.devices.frames_on_devices import FramesOnDevices, fits, with_pixels
from patchail_jax.devices.mapping import MAPPINGS
from patchail_jax.errors import UserError
from patchail_jax.replay.ring import Ring
from patchail_jax.replay.stream import Stream
from patchail_jax.types import Episode
from patchail_jax.updates.gradient_step import DEVICE_AXIS
from tests.small import SPECS, make_method

SIDE = SPECS.image_size


def make(devices: int, *, updates_per_call: int = 1, episodes: int = 9, mapping: str = "pmap"):
    """A ring that has wrapped around, demonstrations, the stream and the mirror of both."""
    rng = np.random.default_rng(0)
    ring = Ring(capacity=333, specs=SPECS)
    experts = ExpertSet(rng.integers(0, 256, (2, 14, SIDE, SIDE, 3), dtype=np.uint8), None, None, 2)
    stream = Stream(
        ring, experts, batch_size=8, expert_batch_size=4, frame_stack=SPECS.frame_stack, devices=devices,
        updates_per_call=updates_per_call, root=(1,), demonstration_root=(2,),
    )  # fmt: skip
    own = jax.local_devices()[:devices]
    mirror = FramesOnDevices(333 + 28, (SIDE, SIDE, 3), np.uint8, devices=own, mapping=MAPPINGS[mapping])
    mirror.write(np.arange(333, 361), experts.frames.reshape(-1, SIDE, SIDE, 3))
    for _ in range(episodes):
        length = int(rng.integers(20, 200))
        frames = rng.integers(0, 256, (length + 1, SIDE, SIDE, 3), dtype=np.uint8)
        ones = np.ones(length, np.float32)
        slots = ring.add(Episode(frames, np.zeros((length, 2), np.float32), ones, ones))
        mirror.write(slots, frames)
    return stream, mirror


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_device_and_host_fill_in_the_same_pixels(devices):
    stream, mirror = make(devices)
    fill = jax.pmap(
        lambda shard, batch: with_pixels(shard, batch, devices=devices),
        axis_name=DEVICE_AXIS,
        devices=jax.local_devices()[:devices],
    )
    for update in range(3):
        numbers = jax.tree.map(lambda leaf: leaf[:, 0], stream.batches(update))
        filled, wanted = fill(mirror.shards, numbers), stream.pixel_batches(update)
        assert filled.agent.frames.dtype == np.uint8
        for leaf, other in zip(jax.tree.leaves(filled), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_array_equal(leaf, other[:, 0])


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_updates_from_the_mirror_are_updates_from_the_host(mapping):
    def run(devices, *, mirrored):
        stream, mirror = make(devices, updates_per_call=2, episodes=1, mapping=mapping)
        sgd = {"agent__optimizer": "sgd", "discriminator__optimizer": "sgd"}
        learner = Devices(make_method("patchail", **sgd), SPECS, count=devices, mapping=mapping)
        draw, shards = (stream.batches, mirror.shards) if mirrored else (stream.pixel_batches, None)
        state, _ = learner.update(learner.init(0), draw(0), shards)
        return fetch(state)

    wanted = run(1, mirrored=False)
    for state in (run(1, mirrored=True), run(4, mirrored=True)):
        for leaf, other in zip(jax.tree.leaves(state), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(leaf, other, rtol=1e-4, atol=1e-6)


def test_where_the_frames_go_is_said():
    devices = jax.local_devices()[:2]
    assert fits("auto", 10**9, devices) == (False, "frames: streamed from the host")
    assert fits("yes", 2**31, devices) == (True, "frames: on the devices, 1.00 GiB a device, as configured")
    with pytest.raises(UserError, match=r"replay.frames_on_device is 'maybe'; use one of auto, yes, no"):
        fits("maybe", 1, devices)


class _Reporting:
    platform = "gpu"

    def memory_stats(self):
        return {"bytes_limit": 10 * 2**30, "bytes_in_use": 2 * 2**30}


def test_the_devices_own_report_decides():
    on_device, line = fits("auto", 4 * 2**30, [_Reporting()])
    assert on_device and line == "frames: on the devices, 4.00 GiB a device of 8.0 GiB free"
    on_device, line = fits("auto", 5 * 2**30, [_Reporting()])
    assert not on_device and "5.00 GiB a device are more than 60% of 8.0 GiB free" in line
