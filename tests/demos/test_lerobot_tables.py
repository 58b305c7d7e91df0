"""Tables of many episodes: each is read once, and every episode has the rows that a search of the file finds."""

import numpy as np
import pytest

from patchail_jax.demos import lerobot_episodes
from patchail_jax.demos.lerobot_tables import Tables
from patchail_jax.errors import UserError
from tests.demos.test_lerobot import TOP, change_info, check, in_tables, read, v3, v21

pyarrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

EPISODES, LENGTH = 12, 7


def write(path, order, row_group_size):
    """A table of numbers and of one column of bytes, its rows in ``order``."""
    count = EPISODES * LENGTH
    columns = {
        "episode_index": np.repeat(np.arange(EPISODES), LENGTH)[order],
        "frame_index": np.tile(np.arange(LENGTH), EPISODES)[order],
        "timestamp": (np.arange(count) % LENGTH / 10).astype(np.float32)[order],
        "action": [[float(number), -float(number)] for number in order],
        "next.reward": order.astype(np.float32),
        TOP: [{"bytes": b"%d" % number, "path": ""} for number in order],
    }
    pq.write_table(pyarrow.table(columns), path, row_group_size=row_group_size)
    return path


def places(path, numbers):
    return [lerobot_episodes.ListedEpisode(number, path, path, 0.0) for number in numbers]


ORDERS = {
    "one after another": np.arange(EPISODES * LENGTH),
    "back to front": np.arange(EPISODES * LENGTH)[::-1],
    "mixed": np.random.default_rng(0).permutation(EPISODES * LENGTH),
}


@pytest.mark.parametrize("row_group_size", [1000, 10, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_each_episode_has_the_rows_that_a_search_of_the_file_finds(tmp_path, order, row_group_size):
    path = write(tmp_path / "table.parquet", ORDERS[order], row_group_size)
    tables = Tables(10**8, TOP, fps=10)
    for place in places(path, [0, 1, 2, 5, 11, 4, 4, *range(EPISODES)]):
        got = tables.rows(place)
        found = pq.read_table(path, filters=[("episode_index", "==", place.number)]).sort_by("frame_index")
        np.testing.assert_array_equal(got["action"], np.array(found.column("action").to_pylist(), np.float64))
        np.testing.assert_array_equal(got["timestamp"], found.column("timestamp").to_numpy())
        np.testing.assert_array_equal(got["next.reward"], found.column("next.reward").to_numpy())
        assert got[TOP].to_pylist() == found.column(TOP).to_pylist()


def test_row_groups_are_read_once_and_those_of_one_episode_are_in_memory(tmp_path, monkeypatch):
    path, reads, real = write(tmp_path / "table.parquet", ORDERS["one after another"], 10), [], pq.ParquetFile
    opened = []

    class Counted(real):
        def __init__(self, source):
            opened.append(source)
            super().__init__(source)

        def read_row_group(self, number, **more):
            reads.append(number)
            return super().read_row_group(number, **more)

    monkeypatch.setattr(pq, "ParquetFile", Counted)
    tables = Tables(10**8, TOP, fps=10)
    for place in places(path, range(EPISODES)):
        tables.rows(place)
        assert len(tables._groups) <= 2
    assert reads == list(range(9)) and opened == [path]


def test_a_file_that_is_changed_to_is_read_anew(tmp_path):
    paths = [
        write(tmp_path / f"{number}.parquet", ORDERS[order], 1000) for number, order in enumerate(list(ORDERS)[:2])
    ]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    tables = Tables(10**8, "", fps=10)
    for path in (*paths, *paths):
        (place,) = places(path, [3])
        assert tables.rows(place)["next.reward"].tolist() == list(range(21, 28))
    for _ in range(2):
        with pytest.raises(UserError, match="broken.parquet: no whole table .*smaller than the minimum file"):
            tables.rows(*places(tmp_path / "broken.parquet", [3]))


def test_row_groups_beyond_the_memory_are_refused_before_they_are_read(tmp_path):
    path = write(tmp_path / "table.parquet", ORDERS["one after another"], 10)
    with pytest.raises(UserError, match=r"table.parquet: 0.0 GiB of it must be read together, .* smaller row groups"):
        Tables(100, TOP, fps=10).rows(*places(path, [0]))
    Tables(4000, TOP, fps=10).rows(*places(path, [0]))
    whole = write(tmp_path / "whole.parquet", ORDERS["one after another"], 1000)
    with pytest.raises(UserError, match="must be read together"):
        Tables(4000, TOP, fps=10).rows(*places(whole, [0]))
    Tables(4000, "", fps=10).rows(*places(whole, [0]))  # its numbers alone


def test_a_number_of_episodes_a_folder_is_asked_of_the_versions_that_use_it(tmp_path):
    v21(tmp_path / "old")
    for size in (0, -1, "x", True, None):
        change_info(tmp_path / "old", chunks_size=size)
        with pytest.raises(UserError, match=r"info.json: chunks_size must be a whole number from 1") as caught:
            read(tmp_path / "old")
        assert "\n" not in str(caught.value)
    change_info(v3(tmp_path / "new"), chunks_size=0)
    check(read(tmp_path / "new"), range(4))


def test_more_demonstrations_than_there_are_is_one_line(tmp_path):
    in_tables(tmp_path)
    assert len(read(tmp_path, num_demonstrations=4).steps) == 4
    for asked, held in (({}, 4), ({"episodes": [1, 2]}, 2)):
        with pytest.raises(UserError, match=f"holds {held} demonstrations, not 5: lower --num_demonstrations"):
            read(tmp_path, num_demonstrations=5, **asked)


def test_a_table_without_the_episodes_numbers_is_one_line(tmp_path):
    in_tables(tmp_path)
    path = tmp_path / "data/chunk-000/file-000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["episode_index"]), path)
    with pytest.raises(UserError, match="file-000.parquet: no whole table"):
        read(tmp_path)
