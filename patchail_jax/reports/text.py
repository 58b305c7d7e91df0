"""What reports write beside their pictures: Markdown tables, and CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from patchail_jax.files.whole_file import write_text


def line(cells: Iterable[str]) -> str:
    """One row of a Markdown table; a ``|`` in a cell stays one."""
    escaped = (cell.replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def table(columns: Sequence[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    return "\n".join([line(columns), "|---" * len(columns) + "|", *map(line, rows)]) + "\n"


def bullets(title: str, remarks: Sequence[str]) -> str:
    """A Markdown section with a list, or nothing where there are no ``remarks``."""
    return "\n".join([f"## {title}", "", *(f"- {remark}" for remark in remarks), ""]) if remarks else ""


def document(*parts: str) -> str:
    """The ``parts`` that say something, a blank line between two."""
    return "\n".join(filter(None, parts))


def shown(path: Path) -> str:
    """``path`` in signs that can be drawn and written; those that are no text have backslashes."""
    return str(path).encode(errors="backslashreplace").decode()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Writes ``rows`` below the names of their ``columns``."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, stream.getvalue())
