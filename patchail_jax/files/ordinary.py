"""What is asked of a file's name before it is read."""

from pathlib import Path

from patchail_jax.errors import UserError


def refuse_special(path: Path) -> None:
    """``UserError`` for a pipe or a device, whose reading may never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is a pipe or a device, not an ordinary file: remove it")
