"""What is asked of a file's name before it is read."""

from pathlib import Path

from patchail_jax.errors import UserError

_POINTER = b"version https://git-lfs."


def refuse_special(path: Path) -> None:
    """``UserError`` for a pipe or a device, whose reading may never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is a pipe or a device, not an ordinary file: remove it")


def require_file(path: Path, what: str = "file") -> Path:
    """``path``; UserError where there is no file, or a pipe or device, or what Git LFS leaves in a file's place."""
    if not path.exists():
        raise UserError(f"{path}: no such {what}")
    if not path.is_file():
        raise UserError(f"{path}: not an ordinary file")
    try:
        with path.open("rb") as stream:
            beginning = stream.read(len(_POINTER))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if beginning == _POINTER:
        raise UserError(f"{path}: is a Git LFS pointer, not the {what}: fetch it with git lfs pull")
    return path
