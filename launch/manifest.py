"""What launchers of clouds share: YAML and scripts, written, handed to a program, or shown alone."""

import posixpath
import shlex
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from patchail_jax.errors import UserError
from patchail_jax.launch.outside import run_program


def to_yaml(documents: Sequence[Any]) -> str:
    """The documents one after another, keys in the order given. ``UserError`` without PyYAML."""
    try:
        import yaml
    except ImportError as error:
        raise UserError("PyYAML is missing: pip install '.[launch]'") from error
    text: str = yaml.safe_dump_all(documents, sort_keys=False, width=10_000)
    return text


def require_shared(root: str, *, schemes: Collection[str] = (), mount: str = "", flag: str = "") -> None:
    """``UserError`` unless ``root`` outlives a machine: a bucket's, or under ``mount``, which ``flag`` makes.

    ``schemes`` are those of buckets that will do, or all.
    """
    if "://" in root:
        if schemes and root.partition("://")[0] not in schemes:
            raise UserError(
                f"--root is {root}; this launcher takes {', '.join(f'{name}://' for name in schemes)} alone"
            )
        return
    if mount and posixpath.normpath(root).startswith(f"{mount}/"):
        return
    give = f"give {flag}, or a" if flag else "give a"
    where = f"it must lie under {mount}" if mount else f"{give} --root such as gs://mine/runs"
    raise UserError(f"--root is {root}, which would be lost with its machine; {where}")


def hand_over_folder(*, dry_run: bool) -> Path:
    """A new folder, this user's alone, for files that other programs are given; of a ``dry_run`` it is only named."""
    return Path(tempfile.gettempdir()) if dry_run else Path(tempfile.mkdtemp(prefix="patchail_"))


def write_shown(path: Path, text: str, *, dry_run: bool) -> None:
    """Shows the shell's way to write the file, and writes it."""
    sys.stdout.write(f"cat > {shlex.join([str(path)])} <<'END'\n{text}END\n")
    if not dry_run:
        path.write_text(text)


def run_shown(words: Sequence[str], *, dry_run: bool) -> int:
    """Shows ``words`` as a shell's line, and runs them; the exit status, 0 of a ``dry_run``."""
    sys.stdout.write(f"{shlex.join(words)}\n")
    sys.stdout.flush()
    return 0 if dry_run else run_program(words)


def hand_over(words: Sequence[str], text: str, *, dry_run: bool) -> int:
    """Runs ``words`` with ``text`` on standard input, or prints both as a shell line; the exit status."""
    if dry_run:
        sys.stdout.write(f"{shlex.join(words)} <<'END'\n{text}END\n")
        return 0
    return run_program(words, text)
