"""Names of files that begin with ``~``, which a shell leaves alone in ``--flag=~/x``."""

from pathlib import Path


def expanded(name: str | Path) -> Path:
    """``name`` with a leading ``~`` or ``~user`` as that user's home folder; as it is where there is no such user."""
    path = Path(name)
    try:
        return path.expanduser()
    except RuntimeError:
        return path
