"""LeRobot datasets, v3.0 and v2.1: tables in parquet, and pictures in films of many episodes or in the tables."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.demos.lerobot_episodes import ListedEpisode, choose
from patchail_jax.demos.lerobot_info import VERSIONS, choose_camera, chunks_size, read_info
from patchail_jax.demos.lerobot_pictures import decoded, sized, whole
from patchail_jax.demos.lerobot_tables import Tables, columns_of
from patchail_jax.demos.picture_files import EARLY, SLACK
from patchail_jax.demos.video_frames import open_clip
from patchail_jax.errors import UserError, one_line
from patchail_jax.files.json_objects import parsed

# Of a dataset's own patterns for names none is used: they may name anything.
_TABLES = {"v3.0": "data/chunk-{0:03d}/file-{1:03d}.parquet", "v2.1": "data/chunk-{0:03d}/episode_{1:06d}.parquet"}
_FILMS = {
    "v3.0": "videos/{2}/chunk-{0:03d}/file-{1:03d}.mp4",
    "v2.1": "videos/chunk-{0:03d}/{2}/episode_{1:06d}.mp4",
}


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
        info = read_info(folder)
        key = choose_camera(folder, info["features"], camera)
        in_film = info["features"][key]["dtype"] == "video"
        held = list(_episodes(folder, info, key if in_film else ""))
        chosen = choose(folder, info, held, episodes)
        gathering = Gathering(
            request, str(folder), foreign_units=True, lossy=in_film, steps_per_second=float(info["fps"])
        )
        tables = Tables(request.memory, "" if in_film else key, fps=float(info["fps"]), actions=request.actions)
        # Episodes of one film are read in one go, in the order in which they lie there.
        for film, group in itertools.groupby(chosen, key=lambda episode: episode.film):
            if film is None:
                _read_tables(gathering, tables, list(group))
            else:
                _read_film(gathering, tables, film, list(group))
    except (OSError, ValueError, KeyError, TypeError) as error:  # of what the tables hold; they name their own
        raise UserError(f"{folder}: not a complete LeRobot dataset ({one_line(error, 160)})") from error
    gathering.source = str(folder)
    if len(tables.tasks) > 1:
        gathering.notes.setdefault(f"episodes of {len(tables.tasks)} tasks: --episodes takes those of one")
    return gathering.finish(f"lerobot {folder.name}, {key}")


def _episodes(folder: Path, info: dict[str, Any], key: str) -> Iterator[ListedEpisode]:
    """All episodes, from the table of them; ``key`` is "" where their pictures are in no film."""
    version = VERSIONS[info["codebase_version"]]
    tables, films = _TABLES[version], _FILMS[version]
    if version == "v2.1":
        size = chunks_size(folder, info)
        lines = (folder / "meta" / "episodes.jsonl").read_text().splitlines()
        told = [parsed(line, finite=True) for line in lines if line.strip()]
        for number, length in sorted((int(line["episode_index"]), line.get("length")) for line in told):
            chunk = number // size
            film = folder / films.format(chunk, number, key) if key else None
            yield ListedEpisode(number, folder / tables.format(chunk, number), film, 0.0, length)
        return
    names = ["episode_index", "data/chunk_index", "data/file_index", "length"]
    films_at = [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")] if key else []
    for path in sorted((folder / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
        for row in columns_of(path, [*names, *films_at]).to_pylist():
            chunk, file, start = (row[name] for name in films_at) if key else (0, 0, 0.0)
            table = folder / tables.format(row["data/chunk_index"], row["data/file_index"])
            film = folder / films.format(chunk, file, key) if key else None
            yield ListedEpisode(row["episode_index"], table, film, float(start), row.get("length"))


def _read_film(gathering: Gathering, tables: Tables, path: Path, episodes: Sequence[ListedEpisode]) -> None:
    """Episodes that lie in one film; those that go back in time start it anew."""
    clip = open_clip(path, frames_per_second=None)
    if tables.fps > clip.rate * SLACK:
        raise UserError(
            f"{path}: {clip.rate:g} frames a second cannot show the {tables.fps:g} rows a second of info.json: make "
            "the film again, at that rate"
        )
    rest = list(episodes)
    while rest and not gathering.full:
        count = next((n for n in range(1, len(rest)) if rest[n].start <= rest[n - 1].start), len(rest))
        together, rest = rest[:count], rest[count:]
        rows = [tables.rows(episode) for episode in together]
        times = [episode.start + row["timestamp"] for episode, row in zip(together, rows, strict=True)]
        shown = sized(clip.pictures(np.concatenate(times)), gathering)
        for episode, row, span in zip(together, rows, times, strict=True):
            if gathering.full:
                return
            gathering.source, name = str(path), f"episode {episode.number}"
            if span.max() >= clip.length + EARLY / clip.rate or (np.diff(span) <= 0).any() or span.min() < 0:
                lies = f"lies at {span.min():.2f} to {span.max():.2f} s, and the film has {clip.length:.2f} s"
                raise UserError(f"{gathering.where(name)}: {lies}")
            shown_here = whole(itertools.islice(shown, len(span)), len(span), gathering.where(name))
            gathering.add(shown_here, row.get("action"), row.get("next.reward"), name=name)
            gathering.notes |= clip.notes


def _read_tables(gathering: Gathering, tables: Tables, episodes: Sequence[ListedEpisode]) -> None:
    """Episodes whose pictures are PNG or JPEG in the table itself."""
    for episode in episodes:
        if gathering.full:
            return
        gathering.source = str(episode.table)
        row = tables.rows(episode)
        name = f"episode {episode.number}"
        shown = decoded(row[tables.pictures], gathering, gathering.where(name))
        gathering.add(shown, row.get("action"), row.get("next.reward"), name=name)
