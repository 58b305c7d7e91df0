"""LeRobot datasets, v3.0 and v2.1: tables in parquet, and pictures in films of many episodes or in the tables."""

import io
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from patchail_jax.demos import pictures
from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.demos.ordinary import require_file
from patchail_jax.demos.picture_files import EARLY
from patchail_jax.demos.video_frames import open_clip
from patchail_jax.errors import UserError, one_line

_LARGEST_INFO = 2**26  # bytes
_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, NotImplementedError)
# Of a dataset's own patterns for names none is used: they may name anything.
_TABLES = {"v3.0": "data/chunk-{0:03d}/file-{1:03d}.parquet", "v2.1": "data/chunk-{0:03d}/episode_{1:06d}.parquet"}
_FILMS = {
    "v3.0": "videos/{2}/chunk-{0:03d}/file-{1:03d}.mp4",
    "v2.1": "videos/chunk-{0:03d}/{2}/episode_{1:06d}.mp4",
}
_VERSIONS = {"v3.0": "v3.0", "v2.1": "v2.1", "v2.0": "v2.1"}  # 2.0 lies on the disk as 2.1 does


class _Episode(NamedTuple):
    """Its number, the files of its table and its film, and where in the film it begins, in seconds."""

    number: int
    table: Path
    film: Path
    start: float


def read(folder: Path, request: Request, *, camera: str = "", episodes: Sequence[int] | None = None) -> Trajectories:
    """The episodes of a dataset (None: all), a frame a row, at the times that its tables say.

    ``camera`` is the name of a feature of pictures, for example ``observation.images.top``; it may be left out where
    there is one. Raises UserError without pyarrow, for another version or form, and see also ``Gathering.add``. Actions
    are in the robot's units: those outside of [-1, 1] are left out, unless ``request.bounds`` scales them.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UserError("pyarrow is not installed: pip install '.[lerobot]'") from error
    try:
        info = _info(folder)
        version = _VERSIONS[info["codebase_version"]]
        key = _camera(folder, info["features"], camera)
        in_film = info["features"][key]["dtype"] == "video"
        held = list(_episodes(folder, version, int(info.get("chunks_size", 1000)), key if in_film else ""))
        chosen = _choose(folder, held, episodes)
        gathering = Gathering(
            request, str(folder), foreign_units=True, lossy=in_film, steps_per_second=float(info["fps"])
        )
        # Episodes of one film are read in one go, in the order in which they lie there.
        for film, group in itertools.groupby(chosen, key=lambda episode: episode.film if in_film else None):
            if film is None:
                _read_tables(gathering, list(group), key)
            else:
                _read_film(gathering, film, list(group))
    except _READ_ERRORS as error:
        raise UserError(f"{folder}: not a complete LeRobot dataset ({one_line(error, 160)})") from error
    gathering.source = str(folder)
    return gathering.finish(f"lerobot {folder.name}, {key}")


def _info(folder: Path) -> dict[str, Any]:
    path = folder / "meta" / "info.json"
    if not path.exists():
        raise UserError(f"{folder}: no LeRobot dataset: has no meta/info.json")
    require_file(path)
    if path.stat().st_size > _LARGEST_INFO:
        raise UserError(f"{path}: larger than any such file")
    info = json.loads(path.read_text())
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if version not in _VERSIONS:
        raise UserError(f"{folder}: LeRobot of version {version!r}; versions {', '.join(_VERSIONS)} can be read")
    if not isinstance(fps := info.get("fps"), int | float) or not 0 < fps < math.inf:
        raise UserError(f"{path}: fps must be more than 0, not {fps!r}")
    return dict(info)


def _camera(folder: Path, features: dict[str, Any], camera: str) -> str:
    known = [key for key, feature in features.items() if feature["dtype"] in ("video", "image")]
    if camera not in known and (camera or len(known) != 1):
        raise UserError(f"{folder}: use --camera with one of its cameras: {', '.join(known) or 'none'}")
    key = camera or known[0]
    if "/" in key or ".." in key:
        raise UserError(f"{folder}: a camera named {key!r}, which would lead out of the dataset: refused")
    return key


def _episodes(folder: Path, version: str, chunks_size: int, key: str) -> Iterator[_Episode]:
    """All episodes, from the table of them; ``key`` is "" where their pictures are in no film."""
    tables, films = _TABLES[version], _FILMS[version]
    if version == "v2.1":
        lines = (folder / "meta" / "episodes.jsonl").read_text().splitlines()
        for number in sorted(int(json.loads(line)["episode_index"]) for line in lines if line.strip()):
            chunk = number // chunks_size
            yield _Episode(
                number, folder / tables.format(chunk, number), folder / films.format(chunk, number, key), 0.0
            )
        return
    names = ["episode_index", "data/chunk_index", "data/file_index"]
    films_at = [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")] if key else []
    for path in sorted((folder / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
        for row in _table(path, [*names, *films_at]).to_pylist():
            chunk, file, start = (row[name] for name in films_at) if key else (0, 0, 0.0)
            table = folder / tables.format(row["data/chunk_index"], row["data/file_index"])
            yield _Episode(row["episode_index"], table, folder / films.format(chunk, file, key), float(start))


def _choose(folder: Path, held: list[_Episode], wanted: Sequence[int] | None) -> list[_Episode]:
    if not held:
        raise UserError(f"{folder}: lists no episodes in meta/")
    if wanted is None:
        return held
    by_number = {episode.number: episode for episode in held}
    if missing := [number for number in wanted if number not in by_number]:
        raise UserError(f"{folder}: has no episode {missing[0]}; it has {held[0].number} to {held[-1].number}")
    return [by_number[number] for number in dict.fromkeys(wanted)]


def _read_film(gathering: Gathering, path: Path, episodes: Sequence[_Episode]) -> None:
    """Episodes that lie in one film; those that go back in time start it anew."""
    clip = open_clip(path, frames_per_second=None)
    rest = list(episodes)
    while rest and not gathering.full:
        count = next((n for n in range(1, len(rest)) if rest[n].start <= rest[n - 1].start), len(rest))
        together, rest = rest[:count], rest[count:]
        rows = [_rows(episode) for episode in together]
        times = [episode.start + row["timestamp"] for episode, row in zip(together, rows, strict=True)]
        shown = _sized(clip.pictures(np.concatenate(times)), gathering)
        for episode, row, span in zip(together, rows, times, strict=True):
            if gathering.full:
                return
            gathering.source, name = str(path), f"episode {episode.number}"
            if span.max() >= clip.length + EARLY / clip.rate or (np.diff(span) <= 0).any() or span.min() < 0:
                lies = f"lies at {span.min():.2f} to {span.max():.2f} s, and the film has {clip.length:.2f} s"
                raise UserError(f"{gathering.where(name)}: {lies}")
            whole = _whole(itertools.islice(shown, len(span)), len(span), gathering.where(name))
            gathering.add(whole, row.get("action"), row.get("next.reward"), name=name)
            gathering.notes |= clip.notes


def _whole(shown: Iterator[np.ndarray], count: int, where: str) -> Iterator[np.ndarray]:
    """``shown``; UserError where fewer than ``count`` pictures come."""
    read = 0
    for picture in shown:
        read += 1
        yield picture
    if read < count:
        raise UserError(f"{where}: its film is damaged: {read} of {count} frames can be read")


def _sized(shown: Iterator[np.ndarray], gathering: Gathering) -> Iterator[np.ndarray]:
    for picture in shown:
        gathering.video_size = max(gathering.video_size, min(picture.shape[:2]))
        yield picture


def _read_tables(gathering: Gathering, episodes: Sequence[_Episode], key: str) -> None:
    """Episodes whose pictures are PNG or JPEG in the table itself."""
    for episode in episodes:
        if gathering.full:
            return
        gathering.source = str(episode.table)
        row = _rows(episode, key)
        name = f"episode {episode.number}"
        shown = _decoded(row[key], gathering, gathering.where(name))
        gathering.add(shown, row.get("action"), row.get("next.reward"), name=name)


def _decoded(images: Any, gathering: Gathering, where: str) -> Iterator[np.ndarray]:
    for number, image in enumerate(images):
        held = image.as_py()
        content = held.get("bytes") if isinstance(held, dict) else held
        if not isinstance(content, bytes):
            raise UserError(f"{where}: picture {number} is not in the table but elsewhere: refused")
        try:
            with Image.open(io.BytesIO(content), formats=["PNG", "JPEG"]) as picture:
                gathering.lossy |= picture.format == "JPEG"
                gathering.video_size = max(gathering.video_size, min(picture.size))
                yield pictures.from_picture(picture, gathering.notes)
        except pictures.ERRORS as error:
            raise UserError(f"{where}: picture {number} cannot be read ({one_line(error, 80)})") from error


def _rows(episode: _Episode, *more: str) -> dict[str, Any]:
    """The episode's columns in the order of its frames; numbers as arrays, others as they come."""
    wanted = [("episode_index", "==", episode.number)]
    table = _table(episode.table, ["timestamp", "frame_index", "action", "next.reward", *more], wanted)
    if not len(table):
        raise UserError(f"{episode.table}: has no rows of episode {episode.number}")
    table = table.sort_by("frame_index")
    columns: dict[str, Any] = {name: table.column(name) for name in more}
    for name in ("timestamp", "action", "next.reward"):
        if name in table.column_names:
            column = table.column(name).combine_chunks()
            flat = column.flatten() if hasattr(column, "flatten") and column.type.num_fields else column
            array = flat.to_numpy(zero_copy_only=False)
            columns[name] = array.reshape(len(table), -1) if name == "action" else array
    columns["timestamp"] = columns["timestamp"].astype(np.float64)
    return columns


def _table(path: Path, names: Sequence[str], rows: Any = None) -> Any:
    """Those of the columns that the file has; UserError where it is not there."""
    import pyarrow.parquet

    if not path.is_file():
        raise UserError(f"{path}: is not there")
    held = set(pyarrow.parquet.read_schema(path).names)
    needed = [name for name in names if name in held]
    return pyarrow.parquet.read_table(path, columns=needed, filters=rows, partitioning=None)
