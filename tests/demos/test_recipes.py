"""The recipes in docs/: zarr as diffusion policy keeps it, and RLDS."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from patchail_jax.demos import trajectory
from patchail_jax.errors import UserError

DOCS = Path(__file__).parents[2] / "docs"
LENGTHS = (6, 4)
PICTURES = np.random.default_rng(0).integers(256, size=(10, 16, 16, 3), dtype=np.uint8)
ACTIONS = np.random.default_rng(1).uniform(0, 512, size=(10, 2)).astype(np.float32)


def recipe(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_zarr(tmp_path, kind):
    zarr = pytest.importorskip("zarr", minversion="3")
    source = tmp_path / ("pusht.zarr.zip" if kind == "zip" else "pusht.zarr")
    store = zarr.storage.ZipStore(source, mode="w") if kind == "zip" else str(source)
    root = zarr.open_group(store, mode="w", zarr_format=2)
    root.create_array("data/img", data=PICTURES.astype(np.float32))  # theirs are floats in 0..255
    root.create_array("data/action", data=ACTIONS)
    root.create_array("meta/episode_ends", data=np.cumsum(LENGTHS))
    if kind == "zip":
        store.close()
    words = [str(source), str(tmp_path / "out.npz"), "--task", "pusht"]
    recipe("zarr_to_npz")(words)
    held = trajectory.load(tmp_path / "out.npz", expected_task="pusht")
    assert held.lengths.tolist() == [5, 3] and held.actions is None
    assert "actions of demonstrations 0, 1 lie outside of [-1, 1]" in "\n".join(held.metadata["notes"])
    np.testing.assert_array_equal(held.frames[1, :4], PICTURES[6:])
    recipe("zarr_to_npz")([*words, "--action_bounds", "0:512"])
    np.testing.assert_allclose(trajectory.load(tmp_path / "out.npz").actions[0], ACTIONS[:5] / 256 - 1, atol=1e-6)
    if kind == "folder":
        root["meta/episode_ends"][:] = [6, 9]
        with pytest.raises(UserError, match="episode_ends must rise to the number of pictures and of"):
            recipe("zarr_to_npz")(words)


def test_rlds(tmp_path, monkeypatch):
    """What TensorFlow Datasets hand out, without TensorFlow, which is too large for this: the episodes are real."""

    def steps(start, count):
        for t in range(start, start + count):
            yield {
                "observation": {"image": PICTURES[t], "state": np.zeros(2, np.float32)},
                "action": (ACTIONS[t] / 512).astype(np.float32), "reward": np.float32(t), "is_first": t == start,
            }  # fmt: skip

    episodes = [{"steps": steps(0, 6)}, {"steps": steps(6, 4)}]
    builder = SimpleNamespace(as_dataset=lambda split: episodes)
    faked = SimpleNamespace(builder_from_directory=lambda folder: builder, as_numpy=lambda dataset: dataset)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", faked)
    words = ["somewhere", str(tmp_path / "out.npz"), "--task", "reach"]
    with pytest.raises(UserError, match="has no camera 'wrist'; use --camera with one of image, state"):
        recipe("rlds_to_npz")([*words, "--camera", "wrist"])
    episodes[:] = [{"steps": steps(0, 6)}, {"steps": steps(6, 4)}]
    recipe("rlds_to_npz")(words)
    held = trajectory.load(tmp_path / "out.npz")
    assert held.lengths.tolist() == [5, 3] and held.returns.tolist() == [10, 21]
    np.testing.assert_allclose(held.actions[1, :3], ACTIONS[6:9] / 512, rtol=1e-6)
