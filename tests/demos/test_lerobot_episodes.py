"""LeRobot datasets whose list of episodes, tables and films contradict each other are refused."""

import json

import numpy as np
import pytest

from patchail_jax.errors import UserError
from tests.demos.test_lerobot import (
    ACTIONS,
    EPISODES,
    LENGTHS,
    STARTS,
    TOP,
    change_info,
    check,
    in_tables,
    pictures,
    pyarrow,
    read,
    rewrite,
    rows,
    table,
    v3,
    v21,
)
from tests.films import film

DATA = "data/chunk-000/file-000.parquet"  # of episodes 0 and 1
START = f"videos/{TOP}/from_timestamp"


def times(value, at):
    held = [float(time) for time in rows([0, 1])["timestamp"]]
    held[at] = value
    return pyarrow.array(held, pyarrow.float32())


def at_half_the_pace():
    return pyarrow.array(rows([0, 1])["timestamp"] / np.where(np.arange(10) < 6, 2, 1), pyarrow.float32())


def actions(kind, at, row):
    held = ACTIONS[: STARTS[2]].tolist()
    held[at] = row
    return pyarrow.array(held, kind)


LISTS, PAIRS = pyarrow.list_(pyarrow.float32()), pyarrow.list_(pyarrow.float32(), 2)


@pytest.mark.parametrize("make", [v3, in_tables])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: {"timestamp": times(np.nan, 7)}, "episode 1 has rows without a timestamp, such as row 1"),
        (lambda: {"timestamp": times(None, 6)}, "episode 1 has rows without a timestamp, such as row 0"),
        (lambda: {"timestamp": times(np.inf, 0)}, "episode 0 has rows without a timestamp"),
        (lambda: {"action": actions(LISTS, 8, None)}, "episode 1: action is not a list of as many numbers"),
        (lambda: {"action": actions(LISTS, slice(6, 10), [None] * 4)}, "episode 1: action is not a list of as many"),
        (lambda: {"action": actions(PAIRS, 8, None)}, "episode 1: action is not a list of as many numbers"),
        (lambda: {"action": actions(LISTS, 1, [0.0])}, "episode 0: action is not a list of as many numbers"),
        (lambda: {"action": actions(LISTS, 1, [])}, "episode 0: action is not a list of as many numbers"),
        (lambda: {"action": actions(LISTS, 1, [0.5, None])}, "demonstration 0 .episode 0.: .*not finite"),
        (8, "episode 1 has 3 rows of 4, frame_index 0 to 3: some are missing"),
        (9, "episode 1 has 3 rows of 4, frame_index 0 to 2: some are missing"),
        (0, "episode 0 has 5 rows of 6, frame_index 1 to 5: some are missing"),
        (lambda: {"timestamp": at_half_the_pace()}, "episode 0 has rows 0.05 s apart .*, and info.json says fps 10"),
        (lambda: {"frame_index": [0, 1, 2, 3, 4, 4, 0, 1, 2, 3]}, "episode 0 has 6 rows of 6, frame_index 0 to 4"),
    ],
)
def test_rows_that_are_no_whole_episode_are_refused_and_the_others_can_be_chosen(tmp_path, make, change, said):
    path = make(tmp_path) / DATA
    if isinstance(change, int):  # a row that is missing
        held = pyarrow.parquet.read_table(path)
        pyarrow.parquet.write_table(pyarrow.concat_tables([held.slice(0, change), held.slice(change + 1)]), path)
    else:
        rewrite(path, **change())
    with pytest.raises(UserError, match=said) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    whole = [0 if "episode 1" in said else 1, 2]
    check(read(tmp_path, episodes=whole), whole)


def test_actions_that_are_left_out_may_be_anything(tmp_path):
    rewrite(v3(tmp_path) / DATA, action=actions(LISTS, 1, [0.0]))
    assert read(tmp_path, actions=False).steps.tolist() == [length - 1 for length in LENGTHS]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({START: [0.0, np.nan, 1.0, 0.0]}, "episode 1 starts at nan s of its film"),
        ({START: [0.0, 0.3, 1.0, 0.0]}, "episode 0 lies at 0.00 to 0.55 s .*, and episode 1 starts at 0.30 s"),
        ({START: [0.0, 0.6, 0.6, 0.0]}, "episode 1 lies at 0.60 to 0.95 s .*, and episode 2 starts at 0.60"),
        ({"episode_index": [0, 1, 1, 3]}, "lists episode 1 twice"),
        ({"length": [6, 4, 9, 5]}, "episode 2 has 8 rows of 9"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(tmp_path, changes, said):
    rewrite(v3(tmp_path) / EPISODES, **changes)
    with pytest.raises(UserError, match=said):
        read(tmp_path)
    if "twice" not in said:
        check(read(tmp_path, episodes=[3]), [3])


@pytest.mark.parametrize(("fps", "said"), [(5, "info.json says fps 5"), (200, "info.json says fps 200")])
def test_another_rate_than_the_tables_is_refused(tmp_path, fps, said):
    change_info(in_tables(tmp_path), fps=fps)
    with pytest.raises(UserError, match=rf"file-000.parquet: episode 0 has rows 0.1 s apart .*{said}"):
        read(tmp_path)
    change_info(tmp_path, fps=10.2)  # 29.97 are 30
    check(read(tmp_path), range(4))


def test_a_film_of_fewer_frames_a_second_than_rows_is_refused(tmp_path):
    film(v21(tmp_path) / f"videos/chunk-000/{TOP}/episode_000001.mp4", pictures(STARTS[1], STARTS[2]), 5)
    with pytest.raises(UserError, match="episode_000001.mp4: 5 frames a second cannot show the 10 rows a second"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        ("1e400", "1e400 is no number"),
        ("Infinity", "Infinity is no number"),
        ("9" * 400, "a whole number of 400 digits"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_numbers_and_lists_beyond_use_are_one_line(tmp_path, number, said):
    v21(tmp_path)
    listed, info = tmp_path / "meta/episodes.jsonl", tmp_path / "meta/info.json"
    before = listed.read_text()
    listed.write_text(f'{{"episode_index": {number}}}\n')
    with pytest.raises(UserError, match=rf"not a complete LeRobot dataset \({said}") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
    listed.write_text(before)
    info.write_text(info.read_text().replace('"fps": 10', f'"fps": {number}'))
    with pytest.raises(UserError, match=rf"info.json: not a complete LeRobot dataset \({said}"):
        read(tmp_path)


@pytest.mark.parametrize("make", [v3, v21])
def test_as_many_episodes_as_the_dataset_says(tmp_path, make):
    change_info(make(tmp_path), total_episodes=4)
    check(read(tmp_path), range(4))
    change_info(tmp_path, total_episodes=5)
    with pytest.raises(UserError, match=r"lists 4 episodes in meta/, and info.json says 5: .* choose with --episodes"):
        read(tmp_path)
    check(read(tmp_path, episodes=[1, 3]), [1, 3])


def test_the_older_version_says_how_long_its_episodes_are_too(tmp_path):
    lines = [json.dumps({"episode_index": e, "length": n + (e == 2)}) for e, n in enumerate(LENGTHS)]
    (v21(tmp_path) / "meta" / "episodes.jsonl").write_text("\n".join(lines))
    with pytest.raises(UserError, match="episode_000002.parquet: episode 2 has 8 rows of 9"):
        read(tmp_path)


@pytest.mark.parametrize("make", [v3, v21, in_tables])
def test_episodes_of_several_tasks_are_noted(tmp_path, make):
    make(tmp_path)
    assert "tasks" not in "".join(read(tmp_path).metadata["notes"])
    path = next((tmp_path / "data").rglob("*.parquet"))
    held = pyarrow.parquet.read_table(path).to_pydict()
    rewrite(path, task_index=pyarrow.nulls(len(held["task_index"]), pyarrow.int64()))
    assert "tasks" not in "".join(read(tmp_path).metadata["notes"])
    table(path, held | {"task_index": [1 + number for number in held["episode_index"]]})
    assert "episodes of 2 tasks: --episodes takes those of one" in read(tmp_path, episodes=[0, 3]).metadata["notes"]
