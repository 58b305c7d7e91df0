"""Demonstrations written as a LeRobot dataset v3.0: tables in parquet, pictures in films of many episodes.

A row is a frame with the action taken at it and the reward that followed, so the frame behind the last action of an
episode has no place there: T actions are T rows. Where no demonstration has actions, all T+1 frames are rows.
"""

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from patchail_jax.demos.form import Trajectories
from patchail_jax.errors import UserError
from patchail_jax.files.trouble import not_written
from patchail_jax.outputs.video import write_video

CAMERA = "observation.images.camera"
_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
_FILM = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
_FILM_BYTES = 2**30  # of pictures before they are compressed, some 20 to 100 times: the format asks for 200 MB at most
_KEYFRAMES = 2  # frames apart, as the format has them, for training that reads films at random
_SAMPLED = 100  # frames for the statistics of colours


class _Row(NamedTuple):
    """An episode: its frames, where its rows begin, and its place in a film."""

    frames: np.ndarray
    first: int
    film: int
    start: float


def write_dataset(folder: Path, trajectories: Trajectories, frames: np.ndarray, *, fps: float) -> None:
    """Writes ``frames [D,T+1,H,W,3] uint8`` of ``trajectories``, ``fps`` agent steps a second; whole or not at all.

    Raises UserError without pyarrow, where the folder is there, or cannot be written.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UserError("pyarrow is not installed: pip install '.[lerobot]'") from error
    if folder.exists():
        raise UserError(f"{folder} already exists: name a new folder")
    if trajectories.actions is not None and trajectories.without_actions:
        missing = ", ".join(map(str, trajectories.without_actions))
        raise UserError(f"demonstrations {missing} have no actions, and a LeRobot dataset has them for all or none")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        rows = list(_rows(trajectories, frames, fps))
        for number, group in itertools.groupby(rows, key=lambda row: row.film):
            path = unfinished / _FILM.format(video_key=CAMERA, chunk_index=0, file_index=number)
            write_video(path, np.concatenate([row.frames for row in group]), fps=fps, keyframes=_KEYFRAMES)
        columns = _columns(trajectories, rows, fps)
        _write_table(unfinished / _DATA.format(chunk_index=0, file_index=0), columns)
        _write_meta(unfinished / "meta", trajectories, rows, columns, fps)
        unfinished.rename(folder)
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _rows(trajectories: Trajectories, frames: np.ndarray, fps: float) -> Iterator[_Row]:
    first = film = held = 0
    for d, steps in enumerate(trajectories.steps):
        shown = frames[d, : steps + (trajectories.actions is None)]
        if held and (held + len(shown)) * frames[0, 0].nbytes > _FILM_BYTES:
            film, held = film + 1, 0
        yield _Row(shown, first, film, held / fps)
        first, held = first + len(shown), held + len(shown)


def _columns(trajectories: Trajectories, rows: list[_Row], fps: float) -> dict[str, np.ndarray]:
    """Of the table of frames, by the names of the format."""
    counts = [len(row.frames) for row in rows]
    number = np.concatenate([np.arange(count) for count in counts])
    episode = np.repeat(np.arange(len(rows)), counts)
    columns: dict[str, np.ndarray] = {}
    each = [trajectories.demonstration(d) for d in range(len(rows))]
    if trajectories.actions is not None:
        columns["action"] = np.concatenate([one.actions for one in each if one.actions is not None])
        if trajectories.rewards is not None:
            columns["next.reward"] = np.concatenate([one.rewards for one in each if one.rewards is not None])
    return columns | {
        "timestamp": (number / fps).astype(np.float32),
        "frame_index": number,
        "episode_index": episode,
        "index": np.arange(len(number)),
        "task_index": np.zeros(len(number), np.int64),
    }


def _write_table(path: Path, columns: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: pyarrow.FixedSizeListArray.from_arrays(column.reshape(-1), column.shape[1])
        if getattr(column, "ndim", 1) == 2
        else pyarrow.array(column)
        for name, column in columns.items()
    }
    table = pyarrow.table(arrays)
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)


def _write_meta(
    folder: Path, trajectories: Trajectories, rows: list[_Row], columns: dict[str, np.ndarray], fps: float
) -> None:
    """What the dataset says of itself: info, statistics, tasks, episodes."""
    task, height, width = trajectories.metadata["task"], *rows[0].frames.shape[1:3]
    total = len(columns["index"])
    features: dict[str, Any] = {
        name: {"dtype": str(column.dtype), "shape": [column.shape[1] if column.ndim == 2 else 1], "names": None}
        for name, column in columns.items()
    }
    features[CAMERA] = {
        "dtype": "video",
        "shape": [height, width, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": height, "video.width": width, "video.channels": 3, "video.codec": "h264",
            "video.pix_fmt": "yuv420p", "video.is_depth_map": False, "video.fps": fps, "has_audio": False,
        },
    }  # fmt: skip
    info = {
        "codebase_version": "v3.0", "robot_type": None, "total_episodes": len(rows), "total_frames": total,
        "total_tasks": 1, "chunks_size": 1000, "data_files_size_in_mb": 100, "video_files_size_in_mb": 200,
        "fps": int(fps) if fps == int(fps) else fps, "splits": {"train": f"0:{len(rows)}"}, "data_path": _DATA,
        "video_path": _FILM, "features": features,
    }  # fmt: skip
    sampled = np.concatenate([row.frames[:: max(1, total // _SAMPLED)] for row in rows]) / np.float32(255)
    stats = {name: _statistics(column.reshape(len(column), -1), (-1,)) for name, column in columns.items()}
    stats[CAMERA] = _statistics(sampled.reshape(-1, 3), (3, 1, 1)) | {"count": [len(sampled)]}
    folder.mkdir(parents=True)
    (folder / "info.json").write_text(json.dumps(info, indent=4))
    (folder / "stats.json").write_text(json.dumps(stats, indent=4))
    # The task is the row's name, as pandas keeps it.
    index = {
        "index_columns": ["task"], "column_indexes": [], "pandas_version": "2.2.0",
        "columns": [
            {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64",
             "metadata": None},
            {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
        ],
    }  # fmt: skip
    _write_table(folder / "tasks.parquet", {"task_index": [0], "task": [task]}, {"pandas": json.dumps(index)})
    lengths = [len(row.frames) for row in rows]
    nothing = [0] * len(rows)
    episodes = {
        "episode_index": list(range(len(rows))), "tasks": [[task]] * len(rows), "length": lengths,
        "data/chunk_index": nothing, "data/file_index": nothing, "dataset_from_index": [row.first for row in rows],
        "dataset_to_index": [row.first + len(row.frames) for row in rows],
        f"videos/{CAMERA}/chunk_index": nothing, f"videos/{CAMERA}/file_index": [row.film for row in rows],
        f"videos/{CAMERA}/from_timestamp": [row.start for row in rows],
        f"videos/{CAMERA}/to_timestamp": [row.start + len(row.frames) / fps for row in rows],
        "meta/episodes/chunk_index": nothing, "meta/episodes/file_index": nothing,
    }  # fmt: skip
    _write_table(folder / "episodes" / "chunk-000" / "file-000.parquet", episodes)


def _statistics(values: np.ndarray, shape: tuple[int, ...]) -> dict[str, Any]:
    """Of ``values [N,K]``, each as a list of ``shape``."""
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    return {name: value.reshape(shape).tolist() for name, value in found.items()} | {"count": [len(values)]}
