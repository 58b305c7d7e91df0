"""What the end of a file's name says that it is, for every form that is read."""

from pathlib import Path

FILMS = (".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".avi", ".webm", ".mkv", ".ts")
MOVING = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG", ".png": "PNG"}  # by Pillow's names
STILL = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
HDF5 = (".hdf5", ".h5", ".hdf")
_FORMS = {"video": (*FILMS, *MOVING), "hdf5": HDF5, "pickle": (".pkl", ".pickle")}


def how_to_convert(path: Path) -> str:
    """What to do with a file that is no file of demonstrations of this program, by its name; "" where it may be one."""
    suffix = path.suffix.lower()
    if form := next((form for form, suffixes in _FORMS.items() if suffix in suffixes), ""):
        return f"convert it first: patchail demos convert {form}"
    if suffix in STILL:
        return "is a picture; a folder of them is converted by patchail demos convert video"
    return ""
