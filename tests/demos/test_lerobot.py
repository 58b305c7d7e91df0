"""LeRobot datasets in both versions, written here as its documentation has them, and our own out and in again."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from patchail_jax.demos import import_lerobot, trajectory, video_frames
from patchail_jax.demos.form import Demonstration, assemble
from patchail_jax.demos.gathering import Request
from patchail_jax.errors import UserError
from patchail_jax.outputs.lerobot_dataset import CAMERA, write_dataset
from patchail_jax.programs import demos as program
from tests.films import film

pyarrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TOP, WRIST = "observation.images.top", "observation.images.wrist"
LENGTHS = (6, 4, 8, 5)
FPS = 10
GREYS = np.linspace(20, 220, sum(LENGTHS)).round()
STARTS = np.cumsum([0, *LENGTHS])
ACTIONS = np.random.default_rng(0).uniform(-1, 1, size=(sum(LENGTHS), 2)).astype(np.float32)
ASKED = {"task": "my_robot", "action_repeat": 2, "memory": 10**8}


def pictures(start, end):
    return np.broadcast_to(GREYS[start:end, None, None, None], (end - start, 32, 32, 3)).astype(np.uint8)


def rows(episodes, **more):
    """The table of frames of these episodes."""
    chosen = np.concatenate([np.arange(STARTS[e], STARTS[e + 1]) for e in episodes])
    columns = {
        "action": ACTIONS[chosen].tolist(),
        "timestamp": np.concatenate([np.arange(LENGTHS[e], dtype=np.float32) / FPS for e in episodes]),
        "frame_index": np.concatenate([np.arange(LENGTHS[e]) for e in episodes]),
        "episode_index": np.repeat(episodes, [LENGTHS[e] for e in episodes]),
        "index": chosen,
        "task_index": np.zeros(len(chosen), np.int64),
        "next.reward": np.arange(len(chosen), dtype=np.float32),
    }
    return columns | {name: [values[n] for n in chosen] for name, values in more.items()}


def table(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pyarrow.table(columns), path)


def information(folder, version, *keys, dtype="video"):
    features = {key: {"dtype": dtype, "shape": [32, 32, 3], "names": None} for key in keys}
    features["action"] = {"dtype": "float32", "shape": [2], "names": None}
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    told = {"codebase_version": version, "fps": FPS, "chunks_size": 1000, "features": features}
    (folder / "meta" / "info.json").write_text(json.dumps(told))


def v3(folder, *, keys=(TOP,)):
    """Three episodes in one film and one in the next; two tables, that are cut elsewhere."""
    information(folder, "v3.0", *keys)
    table(folder / "data/chunk-000/file-000.parquet", rows([0, 1]))
    table(folder / "data/chunk-000/file-001.parquet", rows([2, 3]))
    places = [(0, 0.0), (0, STARTS[1] / FPS), (0, STARTS[2] / FPS), (1, 0.0)]
    listed = {
        "episode_index": [0, 1, 2, 3], "length": list(LENGTHS), "data/chunk_index": [0] * 4,
        "data/file_index": [0, 0, 1, 1],
    }  # fmt: skip
    for key in keys:
        (folder / f"videos/{key}/chunk-000").mkdir(parents=True)
        for number, (start, end) in enumerate([(0, STARTS[3]), (STARTS[3], STARTS[4])]):
            film(folder / f"videos/{key}/chunk-000/file-{number:03d}.mp4", pictures(start, end), FPS)
        listed |= {
            f"videos/{key}/chunk_index": [0] * 4,
            f"videos/{key}/file_index": [file for file, _ in places],
            f"videos/{key}/from_timestamp": [start for _, start in places],
        }
    table(folder / "meta/episodes/chunk-000/file-000.parquet", listed)
    return folder


def v21(folder):
    """A table and a film an episode."""
    information(folder, "v2.1", TOP)
    lines = [json.dumps({"episode_index": e, "tasks": ["reach"], "length": n}) for e, n in enumerate(LENGTHS)]
    (folder / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    (folder / f"videos/chunk-000/{TOP}").mkdir(parents=True)
    for e in range(len(LENGTHS)):
        table(folder / f"data/chunk-000/episode_{e:06d}.parquet", rows([e]))
        film(folder / f"videos/chunk-000/{TOP}/episode_{e:06d}.mp4", pictures(STARTS[e], STARTS[e + 1]), FPS)
    return folder


def in_tables(folder):
    """No films: pictures in the tables."""
    v3(folder, keys=())
    information(folder, "v3.0", TOP, dtype="image")
    encoded = []
    for picture in pictures(0, STARTS[-1]):
        Image.fromarray(picture).save(stream := io.BytesIO(), "PNG")
        encoded.append({"bytes": stream.getvalue(), "path": "frame.png"})
    table(folder / "data/chunk-000/file-000.parquet", rows([0, 1], **{TOP: encoded}))
    table(folder / "data/chunk-000/file-001.parquet", rows([2, 3], **{TOP: encoded}))
    return folder


def read(folder, *, camera="", episodes=None, **asked):
    return import_lerobot.read(folder, Request(**{**ASKED, **asked}), camera=camera, episodes=episodes)


def check(got, episodes):
    assert got.steps.tolist() == [LENGTHS[e] - 1 for e in episodes]
    for d, e in enumerate(episodes):
        observed, actions, rewards = got.demonstration(d)
        shown = np.abs(observed.mean(axis=(1, 2, 3))[:, None] - GREYS).argmin(axis=1)
        assert shown.tolist() == list(range(STARTS[e], STARTS[e + 1]))
        np.testing.assert_allclose(actions, ACTIONS[STARTS[e] : STARTS[e + 1] - 1], rtol=1e-6)
        assert len(rewards) == len(actions)


@pytest.mark.parametrize("make", [v3, v21, in_tables])
@pytest.mark.parametrize("episodes", [None, [2, 0, 3], [1]])
def test_every_episode_has_its_own_frames(tmp_path, make, episodes):
    got = read(make(tmp_path), episodes=episodes)
    check(got, range(4) if episodes is None else episodes)
    assert bool(got.metadata.get("lossy")) == (make is not in_tables) and got.metadata["steps_per_second"] == FPS
    assert len(read(tmp_path, num_demonstrations=1).steps) == 1


def test_one_film_of_many_episodes_is_opened_once(tmp_path, monkeypatch):
    opened, real = [], video_frames.Film._frames
    monkeypatch.setattr(video_frames.Film, "_frames", lambda self, start: opened.append(start) or real(self, start))
    read(v3(tmp_path))
    assert len(opened) == 2


@pytest.mark.parametrize(
    ("scale", "asked", "kept", "note"),
    [
        (1, {}, True, ""),
        (90, {}, False, "actions of demonstration 0 lie outside of [-1, 1], so those of all are left out; --action_b"),
        (90, {"bounds": ((-90.0, 90.0),)}, True, ""),
        (1, {"actions": False}, False, ""),
    ],
)
def test_actions_are_in_the_robot_s_units(tmp_path, monkeypatch, scale, asked, kept, note):
    original = ACTIONS.copy()
    scaled = ACTIONS.copy()
    scaled[: STARTS[1]] *= scale  # of one episode: all have the same units
    monkeypatch.setitem(globals(), "ACTIONS", scaled)
    got = read(v3(tmp_path), **asked)
    assert (got.actions is not None) == kept and note in "\n".join(got.metadata.get("notes", []))
    if kept:
        np.testing.assert_allclose(got.demonstration(0).actions, original[: LENGTHS[0] - 1], atol=1e-5)


def rewrite(path, **columns):
    held = pq.read_table(path).to_pydict()
    table(path, held | columns)


def change_info(folder, **fields):
    path = folder / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def cut_short(path):
    """As a download that ended early, into a file of its full size."""
    content = path.read_bytes()
    start, size = content.index(b"mdat") + 4, 0
    size = int.from_bytes(content[start - 8 : start - 4], "big") - 8
    kept = start + size * 2 // 3
    path.write_bytes(content[:kept] + bytes(start + size - kept) + content[start + size :])


EPISODES = "meta/episodes/chunk-000/file-000.parquet"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda f: (f / "meta/info.json").unlink(), "no LeRobot dataset: has no meta/info.json"),
        (lambda f: (f / "meta/info.json").write_text("{"), "not a complete LeRobot dataset"),
        (
            lambda f: (f / "meta/info.json").write_text("[]"),
            "not a complete LeRobot dataset .it is no object, but of type list",
        ),
        (lambda f: change_info(f, codebase_version="v1.6"), "LeRobot of version 'v1.6'; versions v3.0, v2.1"),
        (lambda f: change_info(f, features={}), "one of its cameras: none"),
        (lambda f: change_info(f, features=[]), "info.json: features must be an object with"),
        (lambda f: change_info(f, features={TOP: {}}), "info.json: features must be an object with"),
        (lambda f: change_info(f, codebase_version=[]), "LeRobot of version ..; versions v3.0"),
        (lambda f: (f / "meta/info.json").write_text("[" * 100_000), "info.json: not a complete LeRobot dataset"),
        (lambda f: change_info(f, features={"../../x": {"dtype": "video"}}), "lead out of the dataset: refused"),
        (lambda f: change_info(f, data_path="/etc/passwd", video_path="{0.__class__}"), None),
        (lambda f: (f / EPISODES).unlink(), "lists no episodes"),
        (lambda f: (f / EPISODES).write_bytes(b"PAR1"), "file-000.parquet: no whole table"),
        (lambda f: (f / "data/chunk-000/file-001.parquet").unlink(), "file-001.parquet: is not there"),
        (lambda f: table(f / "data/chunk-000/file-001.parquet", rows([3])), "has no rows of episode 2"),
        (lambda f: (f / f"videos/{TOP}/chunk-000/file-001.mp4").unlink(), "no such video"),
        (lambda f: (f / f"videos/{TOP}/chunk-000/file-000.mp4").write_bytes(b""), "cannot be read as a video"),
        (
            lambda f: rewrite(f / EPISODES, **{f"videos/{TOP}/from_timestamp": [0.0, 0.6, 9.0, 0.0]}),
            "the film has 1.80",
        ),
        (lambda f: rewrite(f / EPISODES, **{f"videos/{TOP}/from_timestamp": [-1, 0.6, 1, 0]}), "lies at -1.00"),
        (
            lambda f: cut_short(f / f"videos/{TOP}/chunk-000/file-000.mp4"),
            "its film is damaged: . of . frames can be read",
        ),
        (lambda f: rewrite(f / EPISODES, **{"data/file_index": ["../x"] * 4}), "not a complete LeRobot dataset"),
        (
            lambda f: rewrite(f / "data/chunk-000/file-000.parquet", timestamp=[0.0] * 10),
            "episode 0 has rows 0 s apart",
        ),
        (lambda f: rewrite(f / "data/chunk-000/file-000.parquet", action=[[1.0], *[[1.0, 0.0]] * 9]), "as many numb"),
    ],
)
def test_what_is_not_whole_is_one_line(tmp_path, how, said):
    how(v3(tmp_path))
    if said is None:  # of the dataset's own patterns for names none is used
        check(read(tmp_path), range(4))
        return
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_pictures_that_are_elsewhere_or_broken_are_one_line(tmp_path):
    in_tables(tmp_path)
    for image, said in (
        ({"bytes": None, "path": "/etc/passwd"}, "demonstration 0 .episode 0.: picture 0 is not in the table"),
        ({"bytes": b"\x89PNG", "path": ""}, "demonstration 0 .episode 0.: picture 0 is no whole PNG or JPEG"),
        (None, "demonstration 0 .episode 0.: picture 0 is missing"),
    ):
        rewrite(tmp_path / "data/chunk-000/file-000.parquet", **{TOP: [image] * 10})
        with pytest.raises(UserError, match=said):
            read(tmp_path)


def test_pictures_of_an_episode_have_one_size(tmp_path):
    held = pq.read_table(in_tables(tmp_path) / "data/chunk-000/file-000.parquet").column(TOP).to_pylist()
    Image.new("RGB", (48, 48)).save(stream := io.BytesIO(), "PNG")
    held[8]["bytes"] = stream.getvalue()
    rewrite(tmp_path / "data/chunk-000/file-000.parquet", **{TOP: held})
    with pytest.raises(
        UserError, match=r"episode 1\): picture 2: pictures of one video are of one size, not 32x32 and 48"
    ):
        read(tmp_path)


def test_the_camera_is_named_where_there_are_several(tmp_path):
    v3(tmp_path, keys=(TOP, WRIST))
    with pytest.raises(UserError, match=f"use --camera with one of its cameras: {TOP}, {WRIST}"):
        read(tmp_path)
    check(read(tmp_path, camera=WRIST), range(4))
    with pytest.raises(UserError, match="has no episode 9; it has 0 to 3"):
        read(tmp_path, camera=WRIST, episodes=[1, 9])


def test_without_pyarrow_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (lambda: read(tmp_path), lambda: write_dataset(tmp_path / "x", None, np.zeros(0), fps=1.0)):
        with pytest.raises(UserError, match=r"pip install .\.\[lerobot\]"):
            call()


@pytest.fixture
def ours(tmp_path):
    parts = [
        Demonstration(pictures(STARTS[e], STARTS[e + 1]), ACTIONS[: n - 1], np.arange(n - 1, dtype=np.float32))
        for e, n in enumerate(LENGTHS)
    ]
    trajectory.save(tmp_path / "ours.npz", assemble(parts, {"task": "my_robot", "action_repeat": 1}, name="ours"))
    return tmp_path / "ours.npz"


def test_out_to_lerobot_and_in_again(ours, tmp_path, monkeypatch):
    monkeypatch.setattr("patchail_jax.outputs.lerobot_dataset._FILM_BYTES", 10 * 32 * 32 * 3)  # several films
    words = ["--task", "my_robot", "--action_repeat", "1"]
    program.main(["convert", "npz", str(ours), str(tmp_path / "out"), *words, "--control_rate", "12.5"])
    program.main(["convert", "lerobot", str(tmp_path / "out"), str(tmp_path / "again.npz"), *words])
    held, again = trajectory.load(ours), trajectory.load(tmp_path / "again.npz")
    assert len(list((tmp_path / "out/videos" / CAMERA / "chunk-000").iterdir())) == 3
    # The last frame of each has no action, and so no row: a step fewer.
    assert again.steps.tolist() == (held.steps - 1).tolist() and again.metadata["steps_per_second"] == 12.5
    for d in range(4):
        (frames, actions, rewards), (seen, acted, got) = held.demonstration(d), again.demonstration(d)
        assert np.abs(frames[:-1].astype(int) - seen).max() <= 3
        np.testing.assert_array_equal(actions[:-1], acted)
        np.testing.assert_array_equal(rewards[:-1], got)


def test_pictures_alone_keep_all_their_frames(ours, tmp_path, capsys):
    words = ["--task", "my_robot"]
    program.main(["convert", "npz", str(ours), str(tmp_path / "a.npz"), *words, "--no_actions"])
    program.main(["convert", "npz", str(ours), str(tmp_path / "b"), *words, "--no_actions", "--control_rate=10"])
    said = capsys.readouterr().out
    assert "last frame" not in said and "which has every frame, and no rewards" in said
    held = trajectory.load(tmp_path / "a.npz")
    assert held.actions is None and held.steps.tolist() == [n - 1 for n in LENGTHS]
    write_dataset(tmp_path / "out", held._replace(rewards=None), held.frames, fps=10.0)
    again = read(tmp_path / "out")
    assert again.steps.tolist() == held.steps.tolist() and again.actions is None


def test_what_the_dataset_says_of_itself(ours, tmp_path):
    held = trajectory.load(ours)
    write_dataset(tmp_path / "out", held, held.frames, fps=10.0)
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    total = int(held.steps.sum())
    assert (info["codebase_version"], info["fps"], info["total_frames"], info["total_episodes"]) == (
        "v3.0",
        10,
        total,
        4,
    )
    assert set(info["features"]) == {
        CAMERA, "action", "next.reward", "timestamp", "frame_index", "episode_index", "index", "task_index",
    }  # fmt: skip
    episodes = pq.read_table(tmp_path / "out" / EPISODES).to_pydict()
    assert episodes["dataset_to_index"] == np.cumsum(held.steps).tolist() and episodes["tasks"][0] == ["my_robot"]
    np.testing.assert_allclose(episodes[f"videos/{CAMERA}/to_timestamp"], np.cumsum(held.steps) / 10)
    rows = pq.read_table(tmp_path / "out" / info["data_path"].format(chunk_index=0, file_index=0))
    assert rows.num_rows == total and rows.schema.field("action").type == pyarrow.list_(pyarrow.float32(), 2)
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert np.shape(stats[CAMERA]["mean"]) == (3, 1, 1) and len(stats["action"]["std"]) == 2
    pandas = pytest.importorskip("pandas")
    assert pandas.read_parquet(tmp_path / "out/meta/tasks.parquet").loc["my_robot"].task_index == 0


def test_what_cannot_be_written_leaves_nothing(ours, tmp_path):
    held = trajectory.load(ours)
    some = held._replace(actions=np.where(np.arange(4)[:, None, None] == 1, np.nan, held.actions).astype(np.float32))
    with pytest.raises(UserError, match="demonstrations 1 have no actions"):
        write_dataset(tmp_path / "out", some, some.frames, fps=10.0)
    with pytest.raises(UserError, match="cannot be written"):
        write_dataset(tmp_path / "ours.npz" / "out", held, held.frames, fps=10.0)
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="already exists"):
        write_dataset(tmp_path / "there", held, held.frames, fps=10.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.npz", "there"]


def test_states_are_drawn_and_a_file_of_ours_is_turned_round(tmp_path, tiny, ours, monkeypatch):
    monkeypatch.setenv("PATCHAIL_CACHE", str(tmp_path / "cache"))
    trajectory.save(tmp_path / "states.npz", tiny)
    words = ["--task", "cartpole_swingup"]
    program.main(["convert", "npz", str(tmp_path / "states.npz"), str(tmp_path / "drawn"), *words])
    got = read(tmp_path / "drawn")
    assert got.frames.shape == (3, 4, 84, 84, 3) and got.metadata["steps_per_second"] == 50
    with pytest.raises(UserError, match="holds states, which are drawn when they are used"):
        program.main(
            ["convert", "npz", str(tmp_path / "states.npz"), str(tmp_path / "a.npz"), *words, "--flip", "both"]
        )
    words = ["--task", "my_robot", "--action_repeat", "1"]
    program.main(["convert", "npz", str(ours), str(tmp_path / "b.npz"), *words, "--image_size", "16"])
    assert trajectory.load(tmp_path / "b.npz").frames.shape[2:] == (16, 16, 3)
    with pytest.raises(UserError, match="convert it alone"):
        program.main(["convert", "npz", str(ours), str(ours), str(tmp_path / "c.npz"), "--task", "my_robot"])
