"""Text files of lines that may be damaged, or cut short by a kill."""

from pathlib import Path

from patchail_jax.errors import UserError
from patchail_jax.files.ordinary import refuse_special


def whole_lines(path: Path) -> list[str]:
    """The lines of a text file, none for no file. A kill may have cut the last one short: it is left out then.

    Bytes that are no text become signs that no number has. ``UserError`` where the file cannot be read.
    """
    refuse_special(path)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): check the disk and its rights") from error
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
