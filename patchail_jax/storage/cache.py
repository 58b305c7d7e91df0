"""Where files go that can be made or fetched again."""

import os
from pathlib import Path

from patchail_jax.files.home import expanded


def default_cache_dir() -> Path:
    """``$PATCHAIL_CACHE``, else ``patchail_jax`` in ``$XDG_CACHE_HOME``, else in ``~/.cache``."""
    own, general = os.environ.get("PATCHAIL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return expanded(own)
    return (Path(general) if general else Path.home() / ".cache") / "patchail_jax"
