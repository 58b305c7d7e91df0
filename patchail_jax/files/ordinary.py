"""What is asked of a name before a file is read there, or a folder made."""

from pathlib import Path

from patchail_jax.errors import UserError

_POINTER = b"version https://git-lfs."


def refuse_special(path: Path) -> None:
    """``UserError`` for a pipe or a device, whose reading may never end."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is a pipe or a device, not an ordinary file: remove it")


def require_folder(path: Path) -> Path:
    """``path``, which need not exist; UserError where a file, or a link that leads nowhere, is there or above it."""
    there = next((part for part in (path, *path.parents) if part.exists() or part.is_symlink()), None)
    if there is not None and not there.is_dir():
        what = "a file" if there.exists() else "a link that leads nowhere"
        raise UserError(f"{there} is {what}: name a folder")
    return path


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
