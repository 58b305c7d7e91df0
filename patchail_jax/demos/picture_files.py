"""Videos that Pillow reads: moving pictures (gif, webp, png) and folders of pictures."""

import abc
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from patchail_jax.demos.file_kinds import MOVING, STILL
from patchail_jax.demos.natural_order import by_number
from patchail_jax.demos.pictures import ERRORS, Notes, Series
from patchail_jax.errors import UserError, one_line
from patchail_jax.files.ordinary import require_file

_LOSSY = ("JPEG", "WEBP", "GIF")  # of gif the colours
VARIES = 1.5  # times the usual gap between two frames, from which on a video is said to vary
SLACK = 1.02  # of a video's rate: 29.97 frames a second are 30
EARLY = 0.25  # of a frame: times in a container are rounded


class _Pictures(abc.ABC):
    """Pictures with a time each; a picture is shown until the next."""

    path: Path
    rate: float
    slowest: float
    length: float
    lossy: bool
    notes: Notes
    _times: np.ndarray

    def pictures(self, times: np.ndarray) -> Iterator[np.ndarray]:
        """``[H,W,3] uint8`` at each of ``times``; UserError for a picture that cannot be read."""
        numbers = np.searchsorted(self._times, times + EARLY / self.rate, side="right") - 1
        series = Series(self.notes)
        for number in numbers[times + EARLY / self.rate < self.length]:
            name = f"{self.path}: {self._called(int(number))}"
            try:
                yield series.take(self._picture(int(number)))
            except UserError as error:
                raise UserError(f"{name}: {error}") from error
            except ERRORS as error:
                raise UserError(f"{name}: cannot be read ({one_line(error, 120)})") from error

    def _called(self, number: int) -> str:
        """What a message calls the picture of that number."""
        return f"picture {number}"

    @abc.abstractmethod
    def _picture(self, number: int) -> Any:
        """The picture of that number, opened by Pillow."""


class Folder(_Pictures):
    """Pictures of one kind and size, in the order of the numbers in their names; hidden files are not looked at."""

    def __init__(self, path: Path, frames_per_second: float | None) -> None:
        files = [file for file in path.iterdir() if file.suffix.lower() in STILL and not file.name.startswith(".")]
        kinds = sorted({STILL[file.suffix.lower()] for file in files})
        if not kinds:
            raise UserError(f"{path}: a folder without pictures ({', '.join(STILL)})")
        if len(kinds) > 1:
            raise UserError(f"{path}: holds pictures of several kinds ({', '.join(kinds)}): keep those of one video")
        _refuse_several(path, [file.stem for file in files])
        if frames_per_second is None:
            raise UserError(f"{path}: a folder of pictures does not say its frame rate: give --frames_per_second")
        self.path, self.notes = path, {}
        self.rate = self.slowest = frames_per_second
        self._files = sorted(
            (require_file(file, "picture") for file in files), key=lambda file: (by_number(file.stem), file.name)
        )
        self._kind = kinds[0]
        self.lossy = self._kind in _LOSSY
        self._times = np.arange(len(files)) / self.rate
        self.length = len(files) / self.rate
        _refuse_unordered(path, self._files)
        if missing := _gap([file.stem for file in self._files]):
            self.notes.setdefault(f"{path.name}: {missing}")

    def _picture(self, number: int) -> Any:
        with Image.open(self._files[number], formats=[self._kind]) as picture:
            picture.load()
            return picture

    def _called(self, number: int) -> str:
        return self._files[number].name


def _refuse_unordered(path: Path, files: Sequence[Path]) -> None:
    """``UserError`` where the names of ``files``, in order, do not say which comes first."""
    for first, second in itertools.pairwise(files):
        if by_number(first.stem) == by_number(second.stem):
            raise UserError(f"{path}: {first.name} and {second.name} have one number: keep those of one video")
    fractions = {file.name: re.findall(r"(?<=[0-9]\.)[0-9]+", file.stem) for file in files}
    if len({tuple(map(len, digits)) for digits in fractions.values()}) > 1:
        name = max(fractions, key=len)
        raise UserError(
            f"{path}: names such as {name} may be decimal numbers or counts: give all as many digits behind the point"
        )


def _refuse_several(path: Path, names: list[str]) -> None:
    """``UserError`` where ``names`` differ in more than their numbers (left and right, masks), or have none."""
    series = sorted({re.sub(r"[0-9]+", "", name) for name in names})
    if len(series) > 1 and any(re.search(r"[0-9]", name) for name in names):
        listed = ", ".join(name.strip("_-. ") or "only a number" for name in series[:4])
        raise UserError(f"{path}: holds pictures of several series ({listed}): keep those of one video")
    if len(series) > 1:
        raise UserError(
            f"{path}: {min(names)} and {max(names)} have no numbers, which would say what comes first: call the "
            "pictures frame_1, frame_2 and so on"
        )


def _gap(names: list[str]) -> str:
    """What is odd about the numbers in ``names``, which are in order; "" for nothing."""
    groups = [[int(number) for number in re.findall(r"[0-9]+", name)] for name in names]
    if len({len(group) for group in groups}) > 1 or not groups[0]:
        return ""
    numbers = np.array(groups)
    changing = np.flatnonzero((numbers != numbers[0]).any(axis=0))
    if len(changing) > 1:
        return f"its names count {len(changing)} things, as {names[-1]} does: several videos in one?"
    counted = numbers[:, changing[0]] if len(changing) else np.arange(len(names))
    steps = np.diff(counted)
    wide = np.flatnonzero(steps > VARIES * np.median(steps)) if len(steps) else steps
    return f"picture {counted[wide[0]]} is followed by {counted[wide[0] + 1]}: are some missing?" if len(wide) else ""


class Moving(_Pictures):
    """One file of several pictures that says how long each is shown."""

    def __init__(self, path: Path, frames_per_second: float | None) -> None:
        self.path, self.notes, shown = path, {}, []
        kind = MOVING[path.suffix.lower()]
        self.lossy = kind in _LOSSY
        try:
            self._file = Image.open(path, formats=[kind])
            # A PNG may begin with a picture that stands for the film where it cannot be played: no part of it.
            self._start = int(getattr(self._file, "default_image", False))
            for number in range(self._start, getattr(self._file, "n_frames", 1)):
                self._file.seek(number)
                self._file.load()  # which finds the duration of webp
                told = self._file.info.get("duration", 0) / 1000
                shown.append(1 / frames_per_second if frames_per_second else told)
        except ERRORS as error:
            raise UserError(f"{path}: cannot be read ({one_line(error, 120)})") from error
        if len(shown) < 2:
            raise UserError(f"{path}: one picture, which does not move")
        if min(shown) <= 0:
            raise UserError(f"{path}: does not say how long its frames are shown: use --frames_per_second")
        self._times, self.length = np.cumsum([0.0, *shown[:-1]]), float(sum(shown))
        self.rate, self.slowest = 1 / float(np.median(shown)), 1 / max(shown)
        if max(shown) > VARIES * np.median(shown):
            self.notes.setdefault(f"{path.name}: frames are {min(shown):.3g} to {max(shown):.3g} s apart")

    def _picture(self, number: int) -> Any:
        self._file.seek(self._start + number)
        return self._file
