"""What a LeRobot dataset says of itself in ``meta/info.json``: its version, its rate and its cameras."""

import math
from pathlib import Path
from typing import Any

from patchail_jax.errors import UserError, one_line
from patchail_jax.files.json_objects import parsed
from patchail_jax.files.ordinary import require_file

_LARGEST_INFO = 2**26  # bytes
VERSIONS = {"v3.0": "v3.0", "v2.1": "v2.1", "v2.0": "v2.1"}  # 2.0 lies on the disk as 2.1 does


def read_info(folder: Path) -> dict[str, Any]:
    """The file's content; UserError, a line that names the file, where it has not the form that is read here."""
    path = folder / "meta" / "info.json"
    if not path.exists():
        raise UserError(f"{folder}: no LeRobot dataset: has no meta/info.json")
    require_file(path)
    if path.stat().st_size > _LARGEST_INFO:
        raise UserError(f"{path}: larger than any such file")
    try:
        info = parsed(path.read_text(), finite=True)
    except ValueError as error:
        raise UserError(f"{path}: not a complete LeRobot dataset ({one_line(error, 160)})") from error
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if not isinstance(version, str) or version not in VERSIONS:
        raise UserError(f"{folder}: LeRobot of version {version!r}; versions {', '.join(VERSIONS)} can be read")
    if not isinstance(fps := info.get("fps"), int | float) or not 0 < fps < math.inf:
        raise UserError(f"{path}: fps must be more than 0, not {fps!r}")
    features = info.get("features")
    if not isinstance(features, dict) or not all(
        isinstance(feature, dict) and "dtype" in feature for feature in features.values()
    ):
        raise UserError(f"{path}: features must be an object with an object and its dtype for each feature")
    return dict(info)


def chunks_size(folder: Path, info: dict[str, Any]) -> int:
    """How many episodes a folder of the dataset holds; UserError where that is no number of episodes."""
    size = info.get("chunks_size", 1000)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise UserError(f"{folder / 'meta' / 'info.json'}: chunks_size must be a whole number from 1, not {size!r}")
    return size


def choose_camera(folder: Path, features: dict[str, Any], camera: str) -> str:
    """The name of the feature whose pictures are taken; UserError where ``camera`` names none of several."""
    known = [key for key, feature in features.items() if feature["dtype"] in ("video", "image")]
    if camera not in known and (camera or len(known) != 1):
        raise UserError(f"{folder}: use --camera with one of its cameras: {', '.join(known) or 'none'}")
    key = camera or known[0]
    if "/" in key or ".." in key:
        raise UserError(f"{folder}: a camera named {key!r}, which would lead out of the dataset: refused")
    return key
