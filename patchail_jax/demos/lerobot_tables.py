"""The tables of a LeRobot dataset: parquet, read a row group at a time, and refused by name where one is not whole."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from patchail_jax.demos.lerobot_episodes import ListedEpisode, refuse_other_rows
from patchail_jax.errors import UserError, one_line


class Tables:
    """The rows of episodes, from files of which one is open at a time; ``pictures`` is a column, or "" for none.

    ``fps`` is how many rows a second there are by ``info.json``, ``actions`` whether actions are read. ``tasks`` are
    the numbers of the tasks of all episodes that were asked for.

    In memory are the row groups of the episode that was last asked for: each is read once, as episodes lie in order.
    """

    def __init__(self, memory: int, pictures: str, *, fps: float, actions: bool = True) -> None:
        self.pictures, self.fps, self._memory, self._path = pictures, fps, memory, Path()
        self.tasks: set[int] = set()
        more = [*(["action"] if actions else []), *([pictures] if pictures else [])]
        self._names = ["timestamp", "frame_index", "task_index", "next.reward", *more]
        self._groups: dict[int, Any] = {}

    def rows(self, episode: ListedEpisode) -> dict[str, Any]:
        """The episode's columns in the order of its frames: numbers as arrays, pictures as they come.

        UserError, which names the file, for one that is not whole, and see ``refuse_other_rows``.
        """
        with _reading(episode.table):
            return self._rows(episode)

    def _rows(self, episode: ListedEpisode) -> dict[str, Any]:
        if episode.table != self._path:
            self._open(episode.table)
        first = np.searchsorted(self._numbers, episode.number, side="left")
        end = np.searchsorted(self._numbers, episode.number, side="right")
        if first == end:
            raise UserError(f"{episode.table}: has no rows of episode {episode.number}")
        table = self._taken(self._order[first:end]).sort_by("frame_index")
        columns: dict[str, Any] = {self.pictures: table.column(self.pictures)} if self.pictures else {}
        for name in ("timestamp", "frame_index", "action", "next.reward"):
            if name in table.column_names:
                where = f"{episode.table}: episode {episode.number}"
                columns[name] = _numbers(table.column(name).combine_chunks(), f"{where}: {name}")
        columns["timestamp"] = columns["timestamp"].astype(np.float64)
        refuse_other_rows(episode, columns["frame_index"], columns["timestamp"], fps=self.fps)
        if "task_index" in table.column_names:
            self.tasks |= set(table.column("task_index").drop_null().to_pylist())
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


def columns_of(path: Path, names: Sequence[str]) -> Any:
    """Those of the columns that the file has; UserError, which names the file, for one that is not whole."""
    import pyarrow.parquet

    with _reading(path):
        held = set(pyarrow.parquet.read_schema(path).names)
        return pyarrow.parquet.read_table(path, columns=[name for name in names if name in held], partitioning=None)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: no whole table of LeRobot ({one_line(error, 120)}): download it again") from error


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
