"""What the end of a file's name says that it is, for every form that is read."""

from pathlib import Path

from patchail_jax.errors import UserError

FILMS = (".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".avi", ".webm", ".mkv", ".ts")
MOVING = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG", ".png": "PNG"}  # by Pillow's names
STILL = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}
HDF5 = (".hdf5", ".h5", ".hdf")
_FORMS = {"video": (*FILMS, *MOVING), "hdf5": HDF5, "pickle": (".pkl", ".pickle")}


def form_of(path: Path) -> str:
    """The form that ``patchail demos convert`` reads such a file in, by its name; "" for none or many."""
    return next((form for form, suffixes in _FORMS.items() if path.suffix.lower() in suffixes), "")


def refuse_other_kinds(path: Path) -> None:
    """UserError, with what to do, for a name that no file of demonstrations of this program has."""
    if form := form_of(path):
        raise UserError(f"{path}: convert it first: patchail demos convert {form}")
    if path.suffix.lower() in STILL:
        raise UserError(f"{path}: is a picture; a folder of them is converted by patchail demos convert video")
