"""LeRobot datasets, v3.0 and v2.1: tables in parquet, and pictures in films of many episodes or in the tables."""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.demos.form import Trajectories
from patchail_jax.demos.gathering import Gathering, Request
from patchail_jax.demos.lerobot_episodes import ListedEpisode, choose, refuse_other_rows
from patchail_jax.demos.lerobot_info import VERSIONS, choose_camera, chunks_size, read_info
from patchail_jax.demos.lerobot_pictures import decoded, sized, whole
from patchail_jax.demos.picture_files import EARLY
from patchail_jax.demos.video_frames import open_clip
from patchail_jax.errors import UserError, one_line

_READ_ERRORS = (OSError, ValueError, KeyError, TypeError, NotImplementedError)
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
        tables = _Tables(request.memory, "" if in_film else key, actions=request.actions)
        # Episodes of one film are read in one go, in the order in which they lie there.
        for film, group in itertools.groupby(chosen, key=lambda episode: episode.film):
            if film is None:
                _read_tables(gathering, tables, list(group))
            else:
                _read_film(gathering, tables, film, list(group))
    except _READ_ERRORS as error:
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
        told = [json.loads(line) for line in lines if line.strip()]
        for number, length in sorted((int(line["episode_index"]), line.get("length")) for line in told):
            chunk = number // size
            film = folder / films.format(chunk, number, key) if key else None
            yield ListedEpisode(number, folder / tables.format(chunk, number), film, 0.0, length)
        return
    names = ["episode_index", "data/chunk_index", "data/file_index", "length"]
    films_at = [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")] if key else []
    for path in sorted((folder / "meta" / "episodes").glob("chunk-*/file-*.parquet")):
        for row in _table(path, [*names, *films_at]).to_pylist():
            chunk, file, start = (row[name] for name in films_at) if key else (0, 0, 0.0)
            table = folder / tables.format(row["data/chunk_index"], row["data/file_index"])
            film = folder / films.format(chunk, file, key) if key else None
            yield ListedEpisode(row["episode_index"], table, film, float(start), row.get("length"))


def _read_film(gathering: Gathering, tables: "_Tables", path: Path, episodes: Sequence[ListedEpisode]) -> None:
    """Episodes that lie in one film; those that go back in time start it anew."""
    clip = open_clip(path, frames_per_second=None)
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


def _read_tables(gathering: Gathering, tables: "_Tables", episodes: Sequence[ListedEpisode]) -> None:
    """Episodes whose pictures are PNG or JPEG in the table itself."""
    for episode in episodes:
        if gathering.full:
            return
        gathering.source = str(episode.table)
        row = tables.rows(episode)
        name = f"episode {episode.number}"
        shown = decoded(row[tables.pictures], gathering, gathering.where(name))
        gathering.add(shown, row.get("action"), row.get("next.reward"), name=name)


class _Tables:
    """The rows of episodes, from files of which one is open at a time; ``pictures`` is a column, or "" for none.

    ``tasks`` are the numbers of the tasks of all episodes that were asked for; ``actions`` says whether they are read.

    In memory are the row groups of the episode that was last asked for: each is read once, as episodes lie in order.
    """

    def __init__(self, memory: int, pictures: str, *, actions: bool = True) -> None:
        self.pictures, self._memory, self._path = pictures, memory, Path()
        self.tasks: set[int] = set()
        more = [*(["action"] if actions else []), *([pictures] if pictures else [])]
        self._names = ["timestamp", "frame_index", "task_index", "next.reward", *more]
        self._groups: dict[int, Any] = {}

    def rows(self, episode: ListedEpisode) -> dict[str, Any]:
        """The episode's columns in the order of its frames: numbers as arrays, pictures as they come."""
        if episode.table != self._path:
            self._open(episode.table)
        first = np.searchsorted(self._numbers, episode.number, side="left")
        end = np.searchsorted(self._numbers, episode.number, side="right")
        if first == end:
            raise UserError(f"{episode.table}: has no rows of episode {episode.number}")
        table = self._taken(self._order[first:end]).sort_by("frame_index")
        columns: dict[str, Any] = {self.pictures: table.column(self.pictures)} if self.pictures else {}
        for name in ("timestamp", "frame_index", "task_index", "action", "next.reward"):
            if name in table.column_names:
                where = f"{episode.table}: episode {episode.number}"
                columns[name] = _numbers(table.column(name).combine_chunks(), f"{where}: {name}")
        columns["timestamp"] = columns["timestamp"].astype(np.float64)
        refuse_other_rows(episode, columns["frame_index"], columns["timestamp"])
        self.tasks |= set(columns.get("task_index", columns["frame_index"][:0]).tolist())
        return columns

    def _open(self, path: Path) -> None:
        """Finds the rows of every episode of the file."""
        import pyarrow.parquet

        if not path.is_file():
            raise UserError(f"{path}: is not there")
        self._path, self._groups = Path(), {}  # so that a file that cannot be read is not taken for the last one
        self._file = pyarrow.parquet.ParquetFile(path)
        held = self._file.schema_arrow.names
        self._needed = [name for name in self._names if name in held]
        groups = range(self._file.num_row_groups)
        self._starts = np.cumsum([0, *(self._file.metadata.row_group(group).num_rows for group in groups)])
        self._refuse_more(path, groups, ["episode_index"])
        numbers = self._file.read(columns=["episode_index"]).column("episode_index").to_numpy()
        self._order = np.argsort(numbers, kind="stable")
        self._numbers, self._path = numbers[self._order], path

    def _taken(self, rows: np.ndarray) -> Any:
        """Those rows, in rising order, as a table."""
        import pyarrow

        of_row = np.searchsorted(self._starts, rows, side="right") - 1
        needed = np.unique(of_row).tolist()
        self._refuse_more(self._path, needed, self._needed)
        kept = {group: table for group, table in self._groups.items() if group in needed}
        self._groups = kept  # what is no longer needed is freed before more is read
        parts = []
        for group in needed:
            if group not in kept:
                kept[group] = self._file.read_row_group(group, columns=self._needed)
            inside = rows[of_row == group] - self._starts[group]
            part = kept[group].slice(inside[0], inside[-1] + 1 - inside[0])
            if len(inside) < len(part):
                part = part.filter(pyarrow.array(np.isin(np.arange(len(part)), inside - inside[0])))
            parts.append(part)
        return pyarrow.concat_tables(parts)

    def _refuse_more(self, path: Path, groups: Sequence[int], names: Sequence[str]) -> None:
        """``UserError`` where these columns of these row groups take more than the memory there is."""
        size = 0
        for group in groups:
            about = self._file.metadata.row_group(group)
            for part in map(about.column, range(about.num_columns)):
                if any(f"{part.path_in_schema}.".startswith(f"{name}.") for name in names):
                    size += max(part.total_uncompressed_size, 8 * part.num_values)  # numbers may be packed tightly
        if size > self._memory:
            raise UserError(
                f"{path}: {size / 1024**3:.1f} GiB of it must be read together, and {self._memory / 1024**3:.1f} GiB "
                "of memory are free: free some, or write the table in smaller row groups"
            )


def _table(path: Path, names: Sequence[str]) -> Any:
    """Those of the columns that the file has."""
    import pyarrow.parquet

    held = set(pyarrow.parquet.read_schema(path).names)
    return pyarrow.parquet.read_table(path, columns=[name for name in names if name in held], partitioning=None)


def _numbers(column: Any, name: str) -> np.ndarray:
    """A column's numbers ``[T]``, or ``[T,A]`` of one of lists; UserError where these differ in length."""
    if not hasattr(column, "value_lengths"):
        numbers: np.ndarray = column.to_numpy(zero_copy_only=False)
        return numbers
    lengths = set(column.value_lengths().to_pylist())
    if column.null_count or len(lengths) != 1:
        raise UserError(
            f"{name} is not a list of as many numbers in each of its {len(column)} rows: choose others with "
            "--episodes, or use --no_actions"
        )
    flat: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1)
