"""What a sweep shows: on a terminal one table that never wraps, in a file what changes."""

import io
import re

import pytest

from patchail_jax.launch.table import Forecast, LiveTable, Row, last_words, read_progress
from patchail_jax.outputs.duration import duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def at_work(count, width=12):
    return [Row(f"task/{number:0{width}}", "running", 1, 1000, 2000, 3.25) for number in range(count)]


@pytest.fixture
def terminal(monkeypatch):
    """One of 80 columns and 24 lines."""
    for name, value in {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    return Terminal()


def screen(written):
    """The lines that a terminal of 80 columns shows in the end, which none may be longer than."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|\n|[^\x1b\n\r]+", written):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.startswith("\x1b["):
            row -= int(part[2:-1] or 1) if part.endswith("A") else 0
            lines[row] = "" if part.endswith("K") else lines[row]
        else:
            lines[row] += part
            assert len(lines[row]) <= 80, lines[row]
    return [line.rstrip() for line in lines if line.strip()]


def test_a_terminal_s_table_is_drawn_over_and_never_wraps(terminal):
    table, rows = LiveTable(terminal), [*at_work(2, width=90), Row("w", "waiting", 0, 0, 9, None)]
    for number in range(5):
        table.show([row._replace(frame=row.frame + number) for row in rows])
    table.say("hello")
    table.close(rows)
    shown = screen(terminal.getvalue())
    assert shown[0] == "hello" and len(shown) == 4, shown
    assert [line[:9] for line in shown[1:3]] == ["task/0000"] * 2 and "\u2026" in shown[1]
    assert shown[3].startswith("2 running, 1 waiting of 3 runs; 50% of all frames")


def test_a_sweep_of_hundreds_fits_on_the_screen_while_it_runs_and_when_it_stops(terminal):
    table, rows = LiveTable(terminal), at_work(210)
    table.show(rows)
    stopped = [row._replace(status="stopped", tries=int(number < 4)) for number, row in enumerate(rows)]
    for _ in range(8):
        table.show(stopped)
    table.close(stopped)
    written = terminal.getvalue().count("\n")
    assert written < 24 + 9 * 2, written
    assert "and 190 more" in terminal.getvalue() and "210 stopped of 210 runs" in terminal.getvalue()


def test_a_file_gets_what_changes():
    stream = io.StringIO()
    table, rows = LiveTable(stream), at_work(1)
    for status, tries in (("waiting", 0), ("running", 1), ("running", 1), ("crashed", 1), ("running", 2)):
        table.show([rows[0]._replace(status=status, tries=tries)])
    table.close([rows[0]._replace(status="finished", tries=2)])
    words = [line.split()[1] for line in stream.getvalue().splitlines()]
    assert words == ["running", "crashed", "running", "finished", "finished"]
    assert "  1,000 frames  return 3.2  start 2\n" in stream.getvalue()


def test_a_terminal_that_is_gone_is_no_error():
    class Gone(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

        def flush(self):
            raise OSError(5, "Input/output error")

    table = LiveTable(Gone())
    table.say("x")
    table.show(at_work(1))
    table.close(at_work(1))


def test_the_time_left_is_that_of_the_frames_left():
    now = iter((0.0, 60.0))
    forecast = Forecast(lambda: next(now))
    rows = [Row("a", "finished", 0, 0, 1000, None), Row("b", "running", 1, 0, 1000, None)]
    assert forecast(rows) == "; 50% of all frames"
    assert forecast([rows[0], rows[1]._replace(frame=250)]) == "; 62% of all frames, about 3 min left"


def test_runs_that_were_given_up_take_no_time():
    now = iter((0.0, 60.0, 120.0))
    forecast = Forecast(lambda: next(now))
    rows = [Row(name, "running", 1, 0, 1000, None) for name in "abcd"]
    assert forecast(rows) == "; 0% of all frames"
    given_up = [
        row._replace(status=status) for row, status in zip(rows, ("failed", "refused", "stopped"), strict=False)
    ]
    assert forecast([*given_up, rows[3]._replace(frame=250)]) == "; 25% of all frames, about 3 min left"
    first = rows[0]._replace(status="failed", frame=900)  # what it has played says nothing of the others
    assert forecast([first, *given_up[1:], rows[3]._replace(frame=500)]) == "; 50% of all frames, about 2 min left"


def test_less_than_a_minute_left_is_a_minute():
    now = iter((0.0, 60.0))
    forecast = Forecast(lambda: next(now))
    row = Row("b", "running", 1, 0, 1000, None)
    assert forecast([row]) and forecast([row._replace(frame=999)]).endswith(", about 1 min left")


@pytest.mark.parametrize(
    ("hours", "words"),
    [(0.0, "0 min"), (0.05, "3 min"), (0.9999, "1 h 0 min"), (1.0, "1 h 0 min"), (200 / 60, "3 h 20 min")],
)
def test_durations_are_hours_and_minutes(hours, words):
    assert duration(hours) == words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("a\nerror: b\nc\n", "error: b"),
        ("a\n\nValueError: b\n\n", "ValueError: b"),
        ("error: old\n" + "x" * 5000 + "\nlast\n", "last"),
        ("", "it said nothing"),
    ],
)
def test_the_last_words_of_a_log_are_its_error(tmp_path, said, words):
    (tmp_path / "log").write_text(said)
    assert last_words(tmp_path / "log", 0) == words


def test_the_last_words_of_a_start_are_none_of_an_earlier_one(tmp_path):
    log = tmp_path / "log"
    log.write_text("error: a disk that is full\nand a line that was cut o")
    start = log.stat().st_size
    assert last_words(log, start) == "it said nothing"
    with log.open("a") as stream:
        stream.write("Killed\n")
    assert last_words(log, start) == "Killed"
    with log.open("a") as stream:
        stream.write(f"error: another\n{'x' * 5000}\nlast\n")
    assert last_words(log, start) == "last"


@pytest.mark.parametrize("damaged", ['{"frame": 10', "", "[]", "3", '{"frame": "x"}', '{"frame": Infinity}', "\0\0"])
def test_a_damaged_line_counts_for_nothing(tmp_path, damaged):
    (tmp_path / "metrics.jsonl").write_text(f'{{"frame": 5}}\n{damaged}\n')
    (tmp_path / "eval.csv").write_text(f"agent,task,seed,frame,episode_reward,hour\na,t,0,5,1.5,0.1\n{damaged}\n")
    assert read_progress(tmp_path) == (5, 1.5)
    assert read_progress(tmp_path / "eval.csv") == (0, None)
